/**
 * Runs everything that is to pass: the checks, then all tests on Deno, on Bun and on Node.
 *
 * `deno run -A tests/run.ts [checks] [deno] [bun] [node] [path…]`: without names all of them, without paths all tests.
 * @module
 */
import { killAll, type Outcome, runProcess } from "./run_process.ts";
import { type Counts, countsOf, leftOutOf } from "./run_summary.ts";
import { findRuntime, type Runtime, type RuntimeName } from "./runtimes.ts";

const CHECKS = "checks";
const RUNTIME_NAMES: RuntimeName[] = ["deno", "bun", "node"];
const FILE_LIMIT_MS = (Deno.env.has("SHARDYFUSION_SOAK") ? 240 : 15) * 60_000;
const ROOT = new URL("../", import.meta.url);

/** A check is a command that passes or fails as a whole, unless it prints a summary of tests. */
interface Check {
  name: string;
  args: string[];
  countsTests?: boolean;
}

const total: Counts = { passed: 0, failed: 0, skipped: 0 };
const leftOut = new Set<string>();
const environment: Record<string, string> = { NO_COLOR: "1" };

await main();

async function main(): Promise<void> {
  Deno.chdir(ROOT);
  for (const [signal, exitCode] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
    Deno.addSignalListener(signal, () => {
      killAll();
      Deno.exit(exitCode);
    });
  }
  const names = Deno.args.filter((arg) => arg === CHECKS || isRuntimeName(arg));
  const paths = Deno.args.filter((arg) => arg !== CHECKS && !isRuntimeName(arg));
  const runtimes = names.length === 0 ? RUNTIME_NAMES : names.filter(isRuntimeName);
  const withChecks = names.length === 0 ? paths.length === 0 : names.includes(CHECKS);
  const files = await testFiles(paths);

  await runCheck({ name: "install", args: ["install", "--frozen"] });
  if (withChecks) { for (const check of await checks()) await runCheck(check); }
  for (const name of runtimes) await runOn(name, files);

  if (leftOut.size > 0) console.log(`\n${[...leftOut].map((reason) => `LEFT OUT: ${reason}`).join("\n")}`);
  console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  Deno.exit(total.failed > 0 ? 1 : 0);
}

async function checks(): Promise<Check[]> {
  const code = await existing("mod.ts", "src", "tests", "bench", ".ci", "examples");
  return [
    { name: "format", args: ["fmt", "--check"] },
    { name: "lint", args: ["lint"] },
    { name: "types", args: ["check", "--doc", ...code] },
    { name: "types in documents", args: ["check", "--doc-only", "README.md", ...await pages()] },
    { name: "examples", args: ["test", "-A", "--doc", ...await existing("mod.ts", "src")], countsTests: true },
    { name: "publish (dry run)", args: ["publish", "--dry-run", "--allow-dirty"] },
  ];
}

/** Pages with programs, which docs_test.ts and others run; those of one page import each other. */
async function pages(): Promise<string[]> {
  const names = await Array.fromAsync(Deno.readDir(new URL("docs/", ROOT)), ({ name }) => name);
  return names.filter((name) => name.endsWith(".md") && name !== "adding_a_backend.md").map((name) => `docs/${name}`)
    .sort();
}

async function runCheck(check: Check): Promise<void> {
  const started = performance.now();
  const outcome = await runProcess([Deno.execPath(), ...check.args], environment, FILE_LIMIT_MS);
  const counts = check.countsTests
    ? countsOf({ runtime: "deno", ...outcome })
    : { passed: outcome.exitCode === 0 ? 1 : 0, failed: outcome.exitCode === 0 ? 0 : 1, skipped: 0 };
  if (counts.failed > 0) printFailure(`deno ${check.args.join(" ")}`, outcome);
  for (const reason of leftOutOf(outcome.output)) leftOut.add(reason);
  add(total, counts);
  printStep(check.name, started, check.countsTests ? counts : { failed: counts.failed });
}

/** Runs the files one process each, so that a broken or hung one does not take the others with it. */
async function runOn(name: RuntimeName, files: string[]): Promise<void> {
  const started = performance.now();
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  let label: string = name;
  try {
    const runtime = await findRuntime(name);
    label = `${name} ${runtime.version}`;
    // Tests and benches that start another runtime find it by this name.
    environment[`SHARDYFUSION_${name.toUpperCase()}`] = runtime.path;
    const queue = [...files];
    const runner = async (): Promise<void> => {
      for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
        printProgress(`${label}  ${files.length - queue.length}/${files.length}  ${file}`);
        add(counts, await runFile(runtime, file));
      }
    };
    await Promise.all(Array.from({ length: runnerCount() }, runner));
    if (counts.passed + counts.failed === 0) throw new Error(`Cannot call ${label} tested: no test ran`);
  } catch (error) {
    counts.failed++;
    console.log(error instanceof Error ? error.message : error);
  }
  add(total, counts);
  printStep(label, started, counts);
}

async function runFile(runtime: Runtime, file: string): Promise<Counts> {
  const command = commandOf(runtime, file);
  const outcome = await runProcess(command, environment, FILE_LIMIT_MS);
  const counts = countsOf({ runtime: runtime.name, ...outcome });
  if (counts.failed > 0) printFailure(command.join(" "), outcome);
  for (const reason of leftOutOf(outcome.output)) leftOut.add(reason);
  return counts;
}

function commandOf({ name, path }: Runtime, file: string): string[] {
  switch (name) {
    case "deno":
      return [path, "test", "-A", "--no-check", file]; // the check "types" has looked at types
    case "bun":
      return [path, "test", "--timeout", String(FILE_LIMIT_MS), `./${file}`];
    case "node":
      // Without `--test`, which would wait for every process that a test left behind.
      return [path, "--test-reporter=spec", file];
  }
}

async function testFiles(paths: string[]): Promise<string[]> {
  const all = await filesBelow("tests");
  const files = all.filter((path) => path.endsWith("_test.ts")).sort();
  if (paths.length === 0) return files;
  const wanted = paths.map((path) => path.replace(/^\.\//, "").replace(/\/$/, ""));
  return files.filter((file) => wanted.some((path) => file === path || file.startsWith(`${path}/`)));
}

async function filesBelow(folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const entry of Deno.readDir(folder)) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory && path !== "tests/fixtures") files.push(...await filesBelow(path));
    else if (entry.isFile) files.push(path);
  }
  return files;
}

async function existing(...paths: string[]): Promise<string[]> {
  const found = await Promise.all(paths.map((path) => Deno.stat(path).then(() => true, () => false)));
  return paths.filter((_, index) => found[index]);
}

// Servers and timings share the machine with the tests: leave them a core, and do not crowd a big machine.
function runnerCount(): number {
  return Math.max(1, Math.min(4, navigator.hardwareConcurrency - 1));
}

function isRuntimeName(name: string): name is RuntimeName {
  return (RUNTIME_NAMES as string[]).includes(name);
}

function add(sum: Counts, counts: Counts): void {
  sum.passed += counts.passed;
  sum.failed += counts.failed;
  sum.skipped += counts.skipped;
}

function printStep(name: string, started: number, counts: Partial<Counts> & { failed: number }): void {
  printProgress("");
  const seconds = `${((performance.now() - started) / 1000).toFixed(1)} s`.padStart(8);
  const verdict = counts.failed === 0 ? "ok    " : "FAILED";
  const detail = counts.passed === undefined
    ? ""
    : `   ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`;
  console.log(`${name.padEnd(20)} ${verdict} ${seconds}${detail}`);
}

function printFailure(command: string, { output, exitCode }: Outcome): void {
  printProgress("");
  console.log(`\n----- exit code ${exitCode}: ${command}\n${output.trimEnd()}\n-----\n`);
}

// Only on a terminal, where the next line can overwrite it.
function printProgress(text: string): void {
  if (Deno.stdout.isTerminal()) Deno.stdout.writeSync(new TextEncoder().encode(`\r\x1b[2K${text.slice(0, 110)}`));
}
