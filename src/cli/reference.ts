/**
 * Puts the commands' own help into the page about the command line.
 * @module
 */
import { readFileSync, writeFileSync } from "node:fs";
import type { Command } from "commander";
import { COMMANDS } from "./commands.ts";
import { commandGrammar } from "./program.ts";

const PAGE = new URL("../../docs/command_line.md", import.meta.url);
/** What stands before the help pages, and after them. */
const MARKS = /(<!-- help: .*? -->\n\n)[^]*(\n<!-- end of help -->\n)/;

/** The page with the help of all commands in its place. */
export function withHelpPages(page: string): string {
  const program = commandGrammar(COMMANDS);
  const sections = [
    section("shardy", program),
    ...program.commands.map((command) => section(`shardy ${command.name()}`, command)),
  ];
  return page.replace(MARKS, (_, start: string, end: string) => `${start}${sections.join("\n")}${end}`);
}

function section(title: string, command: Command): string {
  let help = "";
  // With what follows the options, which only the output has.
  command.configureOutput({ ...command.configureOutput(), writeOut: (text) => help += text });
  command.outputHelp();
  return `## \`${title}\`\n\n\`\`\`text\n${help.trimEnd()}\n\`\`\`\n`;
}

if (import.meta.main) writeFileSync(PAGE, withHelpPages(readFileSync(PAGE, "utf8")));
