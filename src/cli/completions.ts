/**
 * Scripts that let shells complete command lines of `shardy`, made of its grammar.
 * @module
 */
import type { Command, Option } from "commander";

/** Shells that a script can be made for. */
export const SHELLS = Object.freeze(["bash", "zsh", "fish"] as const);

/** One of them. */
export type Shell = typeof SHELLS[number];

/** What values some options take, by their long flag. */
export const OPTION_CHOICES: Readonly<Record<string, readonly string[]>> = {
  "--output-format": ["json", "jsonl", "table", "text"],
  "--value-encoding": ["base64", "hex", "utf8"],
  "--sqlite-mode": ["download", "range", "auto"],
  "--format": ["ndjson", "csv", "arrow", "parquet"],
  "--key-encoding": ["u64be", "u32be", "utf8", "raw"],
  "--preconditions": ["require", "warn", "assume"],
  "--fence": ["publish", "run"],
  "--on-conflict": ["fail", "replace"],
  "--reuse": ["copy", "reference"],
  "--sharding": ["cluster", "lsh", "explicit"],
  "--vector-metric": ["cosine", "l2"],
  "--cel-nul": ["refuse", "cut"],
  "--backend": ["sqlite", "slatedb"],
  "--vector-backend": ["sqlite-vec", "lancedb"],
  "--access": ["auto", "memory", "download", "range", "hydrate"],
};

/** Options whose values are files. */
const FILE_OPTIONS = [
  "--config",
  "--credentials",
  "--script",
  "--output",
  "--vector-file",
  "--centroids",
  "--hyperplanes",
];

interface Flag {
  readonly long: string;
  readonly description: string;
  readonly takesValue: boolean;
}

interface Entry {
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly Flag[];
}

/** The script, to be read by the shell when it starts. */
export function completionScript(shell: Shell, program: Command): string {
  const commands = program.commands.map((command): Entry => ({
    name: command.name(),
    summary: command.summary(),
    flags: flagsOf(command.options),
  }));
  const flags = flagsOf(program.options);
  switch (shell) {
    case "bash":
      return bashScript(commands, flags);
    case "zsh":
      return zshScript(commands, flags);
    case "fish":
      return fishScript(commands, flags);
  }
}

function flagsOf(options: readonly Option[]): Flag[] {
  const flags = options.flatMap(({ long, description, required, optional }) =>
    long === null || long === undefined ? [] : [{ long, description, takesValue: required || optional }]
  );
  return [...flags, { long: "--help", description: "show this help", takesValue: false }];
}

function bashScript(commands: readonly Entry[], flags: readonly Flag[]): string {
  const valued = unique([...flags, ...commands.flatMap((command) => command.flags)]).filter((flag) => flag.takesValue);
  const choices = Object.entries(OPTION_CHOICES).map(([long, words]) =>
    `    ${long}) COMPREPLY=($(compgen -W "${words.join(" ")}" -- "$word")); return ;;`
  );
  const others = valued.filter(({ long }) => !(long in OPTION_CHOICES)).map(({ long }) => long);
  return `# bash completion of shardy: source it, or put it where your shell looks for completions.
_shardy() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" command="" at
  case "$before" in
${choices.join("\n")}
    ${FILE_OPTIONS.join("|")}) COMPREPLY=($(compgen -f -- "$word")); return ;;
    ${others.filter((long) => !FILE_OPTIONS.includes(long)).join("|")}) return ;;
  esac
  for ((at = 1; at < COMP_CWORD; at++)); do
    case "\${COMP_WORDS[at]}" in
      ${valued.map(({ long }) => long).join("|")}) ((at++)) ;;
      -*) ;;
      *) command="\${COMP_WORDS[at]}"; break ;;
    esac
  done
  case "$command" in
    "") COMPREPLY=($(compgen -W "${
    [...commands.map(({ name }) => name), ...flags.map(({ long }) => long)].join(" ")
  }" -- "$word")) ;;
${
    commands.map(({ name, flags }) =>
      `    ${name}) if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "${
        flags.map(({ long }) => long).join(" ")
      }" -- "$word")); ${argumentsOf(name)}fi ;;`
    ).join("\n")
  }
  esac
}
complete -o filenames -F _shardy shardy
`;
}

/** What stands where a command takes something that can be listed. */
function argumentsOf(name: string): string {
  if (name === "build") return 'else COMPREPLY=($(compgen -f -- "$word")); ';
  return name === "completions" ? `else COMPREPLY=($(compgen -W "${SHELLS.join(" ")}" -- "$word")); ` : "";
}

function zshScript(commands: readonly Entry[], flags: readonly Flag[]): string {
  const spec = ({ long, description, takesValue }: Flag): string => {
    const name = `*${long}${takesValue ? "=" : ""}[${description.replace(/[[\]\\:]/g, "\\$&")}]`;
    return `    ${quoted(takesValue ? `${name}:value:${valuesOf(long)}` : name)}`;
  };
  const cases = commands.map(({ name, flags }) => {
    const rest = name === "build"
      ? "*:file:_files"
      : name === "completions"
      ? `1:shell:(${SHELLS.join(" ")})`
      : "*:key:";
    return `      ${name}) _arguments \\\n${
      flags.map((flag) => `    ${spec(flag)} \\`).join("\n")
    }\n        '${rest}' ;;`;
  });
  return `#compdef shardy
# zsh completion of shardy: put it into a folder of $fpath as _shardy.
_shardy() {
  local -a commands
  local state line
  commands=(
${commands.map(({ name, summary }) => `    ${quoted(`${name}:${summary.replace(/:/g, "\\:")}`)}`).join("\n")}
  )
  _arguments -C \\
${flags.map((flag) => `${spec(flag)} \\`).join("\n")}
    '1:command:->command' '*::argument:->argument'
  case $state in
    command) _describe command commands ;;
    argument) case $line[1] in
${cases.join("\n")}
    esac ;;
  esac
}
if [ "$funcstack[1]" = _shardy ]; then _shardy "$@"; else compdef _shardy shardy; fi
`;
}

function valuesOf(long: string): string {
  if (FILE_OPTIONS.includes(long)) return "_files";
  const choices = OPTION_CHOICES[long];
  return choices === undefined ? "" : `(${choices.join(" ")})`;
}

function fishScript(commands: readonly Entry[], flags: readonly Flag[]): string {
  const line = ({ long, description, takesValue }: Flag, condition: string): string => {
    const choices = OPTION_CHOICES[long];
    const values = choices === undefined ? "" : ` -a ${quoted(choices.join(" "))}`;
    const kind = !takesValue ? "" : FILE_OPTIONS.includes(long) ? " -rF" : ` -x${values}`;
    return `complete -c shardy -n ${quoted(condition)} -l ${long.slice(2)}${kind} -d ${quoted(description)}`;
  };
  return [
    "# fish completion of shardy: put it into ~/.config/fish/completions/shardy.fish.",
    "complete -c shardy -f",
    ...commands.map(({ name, summary }) =>
      `complete -c shardy -n __fish_use_subcommand -a ${name} -d ${quoted(summary)}`
    ),
    ...flags.map((flag) => line(flag, "__fish_use_subcommand")),
    ...commands.flatMap(({ name, flags }) => flags.map((flag) => line(flag, `__fish_seen_subcommand_from ${name}`))),
    "complete -c shardy -n '__fish_seen_subcommand_from build' -F",
    `complete -c shardy -n '__fish_seen_subcommand_from completions' -a '${SHELLS.join(" ")}'`,
    "",
  ].join("\n");
}

function unique(flags: readonly Flag[]): Flag[] {
  return [...new Map(flags.map((flag) => [flag.long, flag])).values()];
}

function quoted(text: string): string {
  return `'${text.replace(/'/g, "'\\''")}'`;
}
