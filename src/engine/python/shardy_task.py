"""What the shims for Ray, Spark and Dask share: `shardy` runs as a process, with Arrow on both sides.

Nothing here knows how rows are routed or how shards are stored: that is for `shardy`, which has to be on every machine
(a path in the environment variable SHARDY_WORKER, or `shardy` on the PATH).
"""

import collections
import contextlib
import json
import os
import shlex
import socket
import subprocess
import sys
import threading

import pyarrow as pa

__all__ = ["Job", "ShardyError", "build", "pickle_by_value", "plan", "publish", "publish_options", "route", "slices"]

# Lines of the worker's log that an error repeats; all of them go to the task's own log.
LOG_LINES_MAX = 50
# The worker has a batch in memory as a whole, beside what its job allows.
SLICE_BYTES_MAX = 8 << 20
# What `shardy` says by its exit code may succeed when it is tried again.
EXIT_RETRYABLE = 75
# A shell says so of a program that was killed.
EXIT_KILLED = 137


class ShardyError(RuntimeError):
    """What `shardy` refused or failed at, in its own words.

    `exit_code` tells the kind: 2 the job is wrong, 3 a row, 4 a row's shard, 5 shards are missing, 6 somebody else was
    there first, 7 a validator refused the snapshot, 75 it may succeed later; 127 the program is missing.
    """

    def __init__(self, message, exit_code=1):
        super().__init__(message, exit_code)
        self.exit_code = exit_code

    def __str__(self):
        return f"{self.args[0]} (exit code {self.exit_code})"

    @property
    def retryable(self):
        """Whether it may succeed when it is tried again: the worker said so, or was killed."""
        return self.exit_code == EXIT_RETRYABLE or self.exit_code < 0 or self.exit_code == EXIT_KILLED


class Job:
    """A job as `shardy plan` writes it, and where to find the program that carries it out.

    Plain data, so that engines can send it to their tasks.

    source: path of the file, its text, or None for the environment variable SHARDY_JOB.
    worker: the command, as a list or as a line; None for the environment variable SHARDY_WORKER, else `shardy`. The
        default is looked up on the machine that runs the task.
    env: variables for the worker beside those of the task, such as credentials.
    """

    def __init__(self, source=None, *, worker=None, env=None):
        text = os.environ.get("SHARDY_JOB") if source is None else os.fspath(source)
        if not text:
            raise ShardyError("Cannot find the job: give a path, or set SHARDY_JOB", 2)
        if not text.lstrip().startswith("{"):
            with open(text, encoding="utf-8") as file:
                text = file.read()
        self.text = text
        self.worker = shlex.split(worker) if isinstance(worker, str) else worker
        self.env = dict(env or {})
        fields = json.loads(text)
        self.spec = fields["spec"]
        self.run_id = fields["runId"]

        self._columns = fields.get("columns", {})

    def columns(self, stage, names):
        """Those of the columns that the stage reads: "route" or "build". Others need not be sent.

        All of them where one is missing, so that the worker can tell which there are.
        """
        wanted = self._columns.get(stage)
        if wanted is None or not set(wanted) <= set(names):
            return list(names)
        return [name for name in names if name in wanted or name == self.shard_id_column]

    @property
    def shard_id_column(self):
        return self.spec["shardIdColumn"]

    @property
    def shard_count(self):
        return self.spec["shardCount"]

    @property
    def sort_columns(self):
        """By what the engine sorts its partitions, if the job asks for that."""
        return [self.shard_id_column, self.spec["keyColumn"]] if self.spec["sortWithinPartitions"] else []

    def command(self, *args):
        worker = self.worker or shlex.split(os.environ.get("SHARDY_WORKER", "")) or ["shardy"]
        return [*worker, *args]


def plan(current_url, *, worker=None, env=None, **options):
    """Begins a job: gives a Job. Options are those of `shardy plan`, as in `plan(url, key="id", single_shard=True)`.

    A list repeats an option, a dict is given as JSON, True is a switch, None and False leave it out.
    """
    job = Job('{"spec": {}, "runId": ""}', worker=worker, env=env)
    arguments = ["--current-url", os.fspath(current_url), "plan", *_options(options)]
    return Job(_output(job, arguments, b"").decode(), worker=worker, env=env)


def route(job, schema, batches, *, task=None):
    """Gives each record batch again, with its column of shards.

    Only what routing reads goes to the worker, and a batch waits here for its answer.

    task: number of the task, the same when it is run again: its counts are kept in the store for `publish`.
    """
    sent = job.columns("route", schema.names)
    pending = collections.deque()

    def feed():
        for batch in batches:
            if batch.num_rows > 0:
                pending.append(batch)
                yield batch.select(sent)

    arguments = ["worker", "route", "--quiet", *_options({"task": task})]
    field = pa.field(job.shard_id_column, pa.int32(), nullable=False)
    routed_schema = schema.append(field)
    with _Worker(job, arguments) as worker:
        worker.feed(pa.schema([schema.field(name) for name in sent]), feed())
        for answer in worker.batches():
            if answer.num_rows == 0:
                continue  # What comes of a stream without batches.
            batch = pending.popleft()
            column = answer.column(answer.schema.get_field_index(job.shard_id_column))
            if len(column) != batch.num_rows:
                raise ShardyError(f"Cannot match {len(column)} shards with {batch.num_rows} rows")
            yield pa.RecordBatch.from_arrays([*batch.columns, column], schema=routed_schema)
        worker.finish()
    if pending:
        raise ShardyError(f"Cannot find the shards of {len(pending)} batches")


def build(job, schema, batches, *, attempt="next", task_attempt_id=None):
    """Builds the shards of these rows: gives a line for each, which `publish` takes.

    attempt: the engine's number of the attempt, if it has one; "next" takes the next that is free.
    """
    sent = job.columns("build", schema.names)
    arguments = ["worker", "build", *_options({"attempt": attempt, "task_attempt_id": task_attempt_id})]
    with _Worker(job, arguments) as worker:
        worker.feed(
            pa.schema([schema.field(name) for name in sent]),
            (batch.select(sent) for batch in batches if batch.num_rows > 0),
        )
        lines = worker.stdout.read().decode().splitlines()
        worker.finish()
    return lines


def publish(job, lines=None, **options):
    """Ends a job: gives what `shardy publish` prints. Options are its own, such as `rows=1000, verify=True`.

    lines: what the build stages have given, in any order, also several times. None: what they have left in the store.
    """
    arguments = ["publish", *_options(options)]
    text = ""
    if lines is not None:
        arguments.append("-")
        text = "".join(f"{line}\n" for line in lines)
    return json.loads(_output(job, arguments, text.encode()))


def publish_options(arguments):
    """Options of `publish` as a command line has them: ["--rows", "9", "--verify"] is {"rows": "9", "verify": True}."""
    options = {}
    for argument in arguments:
        if argument.startswith("--"):
            flag, _, text = argument.partition("=")
            name = flag[2:].replace("-", "_")
            options.setdefault(name, []).append(text or True)
        elif options and options[name][-1] is True:
            options[name][-1] = argument
        else:
            raise ShardyError(f"Cannot tell what {argument!r} is for", 2)
    return {name: found[0] if len(found) == 1 else found for name, found in options.items()}


def slices(rows):
    """A table or a batch as batches of a few MiB, however large the engine's blocks are."""
    size = max(1, SLICE_BYTES_MAX * rows.num_rows // max(1, rows.nbytes))
    if isinstance(rows, pa.Table):
        yield from rows.to_batches(max_chunksize=size)
        return
    for start in range(0, rows.num_rows, size):
        yield rows.slice(start, size)


def pickle_by_value(pickle_module, *names):
    """Has an engine send this module, and those named, along with its tasks, so that no machine has to have them."""
    for name in (__name__, *names):
        pickle_module.register_pickle_by_value(sys.modules[name])


def _options(options):
    arguments = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            arguments.append(flag)
        elif value is not None and value is not False:
            for item in value if isinstance(value, (list, tuple)) else [value]:
                arguments += [flag, json.dumps(item) if isinstance(item, dict) else str(item)]
    return arguments


def _output(job, arguments, text):
    with _Worker(job, arguments) as worker:
        worker.feed_bytes(text)
        output = worker.stdout.read()
        worker.finish()
    return output


class _Worker:
    """One process of `shardy`: fed by a thread, while its output is read; its log goes to the task's log."""

    def __init__(self, job, arguments):
        command = job.command(*arguments)
        environment = {**os.environ, **job.env, "SHARDY_JOB": job.text}
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
            )
        except OSError as error:
            raise ShardyError(
                f"Cannot start {command[0]!r} on {socket.gethostname()}: {error.strerror}; install shardy on every "
                "machine, or set SHARDY_WORKER to its path",
                127,
            ) from error
        self.stdout = self._process.stdout
        self._log = collections.deque(maxlen=LOG_LINES_MAX)
        self._failure = None
        self._threads = []
        self._start(self._copy_log)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        # Asked to stop, it removes what it has uploaded.
        if self._process.poll() is None and kind is not None:
            self._process.terminate()
        if kind is not None:
            self.stdout.close()
            self._process.wait()
        for thread in self._threads:
            thread.join()

    def feed(self, schema, batches):
        """Writes a stream of Arrow. When the source fails, the stream has no end, so that the worker fails, too."""

        def write(sink):
            writer = pa.ipc.new_stream(sink, schema)
            for batch in batches:
                writer.write_batch(batch)
            writer.close()

        self._start(self._write, write)

    def feed_bytes(self, text):
        self._start(self._write, lambda sink: sink.write(text))

    def batches(self):
        """What comes out, until its end or the worker's failure, of which `finish` tells."""
        try:
            yield from pa.ipc.open_stream(self.stdout)
        except (pa.ArrowInvalid, OSError):
            self.finish()
            raise

    def finish(self):
        """Waits for the worker's end. Raises ShardyError for its failure, and what the source has raised."""
        code = self._process.wait()
        for thread in self._threads:
            thread.join()
        if self._failure is not None:
            raise self._failure
        if code != 0:
            raise ShardyError(self._reason(code), code)

    def _start(self, target, *args):
        thread = threading.Thread(target=target, args=args, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _write(self, write):
        sink = self._process.stdin
        try:
            write(sink)
            sink.close()
        except BrokenPipeError:
            pass  # It has ended, and its exit code says why.
        except BaseException as error:
            self._failure = error
            self._process.terminate()
        finally:
            with contextlib.suppress(OSError):
                sink.close()

    def _copy_log(self):
        with self._process.stderr as log:
            for line in log:
                text = line.decode(errors="replace")
                self._log.append(text)
                sys.stderr.write(text)

    def _reason(self, code):
        for line in reversed(self._log):
            try:
                return json.loads(line)["error"]
            except (ValueError, KeyError, TypeError):
                continue
        command = shlex.join(map(str, self._process.args[:2]))
        return f"{command} has ended with {code} on {socket.gethostname()}: {''.join(self._log).strip() or 'no word'}"
