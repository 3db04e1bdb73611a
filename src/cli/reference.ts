/**
 * The page about the command line, made of the commands' own help.
 * @module
 */
import type { Command } from "commander";
import { COMMANDS } from "./commands.ts";
import { commandGrammar } from "./program.ts";

const INTRODUCTION = `# The command \`shardy\`

Made of the commands' own help by \`deno run -A src/cli/reference.ts > docs/command_line.md\`; a test compares the two.

\`\`\`sh
deno run -A jsr:@shardyfusion/shardyfusion/cli --help   # or, in a checkout: deno task shardy --help
\`\`\`

A single executable, which needs no runtime:

\`\`\`sh
deno compile -A --output shardy src/cli/main.ts
bun build --compile src/cli/main.ts --outfile shardy
\`\`\`
`;
const CONFIGURATION = `## Configuration

\`reader.toml\` is looked for as \`--config\` and \`SHARDY_CONFIG\` say, else in the working folder and in \`~/.config/shardy\`.
Options and variables win over it. All of it may be left out; unknown settings are told of, and those of the Python
package that have no meaning here (\`reader_backend\`, \`thread_safety\`, \`pool_checkout_timeout\`, \`slate_env_file\`) have no
effect.

\`\`\`toml
[reader]
current_url = "s3://bucket/prefix/_CURRENT"
s3_prefix = ""                    # where the snapshots are, if not in the folder of current_url
local_root = ""                   # folder that keeps downloaded shards; empty: a temporary one
credentials_profile = "default"
max_workers = 8                   # shards that are opened, and requests that are under way, at the same time
sqlite_mode = "auto"              # download, range
sqlite_auto_per_shard_threshold_bytes = 16777216
sqlite_auto_total_budget_bytes = 2147483648

[manifest_store]
backend = "s3"                    # in objects beside the snapshots; or "postgres", in the tables of the Python package
dsn = ""                          # postgres://user:password@host/database; empty: SHARDY_MANIFEST_DSN
table_name = "shardyfusion_manifests"
pointer_table_name = "shardyfusion_pointer"
ensure_table = true               # whether missing tables are created before the first publish

[output]
format = "jsonl"                  # json, table, text
value_encoding = "base64"         # hex, utf8
null_repr = "null"
\`\`\`

\`credentials.toml\` is looked for likewise (\`--credentials\`, \`SHARDY_CREDENTIALS\`), when a place in S3 is opened; it is
warned of when others than its owner may read it. A setting of \`--s3-option\` has the same names and wins.

\`\`\`toml
[default]                         # --profile, SHARDY_PROFILE, reader.credentials_profile
endpoint_url = "https://…"
region = "eu-central-1"
access_key_id = "…"
secret_access_key = "…"
session_token = ""
addressing_style = "path"         # virtual, auto
signature_version = "s3v4"
verify_ssl = true
connect_timeout = 10
read_timeout = 30
max_attempts = 3
\`\`\`

## Scripts

\`shardy exec --script FILE\` opens the snapshot once and runs a list of commands; results are printed one to a line.

\`\`\`yaml
on_error: continue # or stop, at the first command that fails
commands:
  - { op: get, key: 5, routing_context: { region: eu } }
  - { op: multiget, keys: [12, 13, 999] }
  - { op: route, key: 12 }
  - { op: refresh }
  - { op: info }
  - { op: shards }
  - { op: health, staleness_threshold: 3600 }
  - { op: history, limit: 2 }
\`\`\`
`;

/** The whole page, as Markdown. */
export function commandLineReference(): string {
  const program = commandGrammar(COMMANDS);
  return [
    INTRODUCTION,
    section("shardy", program),
    ...program.commands.map((command) => section(`shardy ${command.name()}`, command)),
    CONFIGURATION,
  ].join("\n");
}

function section(title: string, command: Command): string {
  let help = "";
  // With what follows the options, which only the output has.
  command.configureOutput({ ...command.configureOutput(), writeOut: (text) => help += text });
  command.outputHelp();
  return `## \`${title}\`\n\n\`\`\`text\n${help.trimEnd()}\n\`\`\`\n`;
}

if (import.meta.main) console.log(commandLineReference().trimEnd());
