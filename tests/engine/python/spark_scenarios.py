"""Spark's scenarios, on a cluster of two executors, which Spark takes for two machines."""

import contextlib
import io
import json
import os
import shlex
import socket
import subprocess
import sys

import scenarios

ADDRESSES = ["127.0.0.1", "127.0.0.2"]
UP_SECONDS_MAX = 120
# Short-lived processes of Java on few cores.
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


@contextlib.contextmanager
def cluster():
    """A master and two workers by themselves, as Spark does not run a task twice on one machine: gives the URL."""
    with socket.socket() as free:
        free.bind((ADDRESSES[0], 0))
        url = f"spark://{ADDRESSES[0]}:{free.getsockname()[1]}"
    import pyspark

    place = os.path.dirname(pyspark.__file__)
    limits = {"SPARK_DAEMON_MEMORY": "256m", "SPARK_WORKER_DIR": str(scenarios.FOLDER / "work")}
    environment = {**os.environ, **limits, "SPARK_HOME": place, "SPARK_LOCAL_IP": ADDRESSES[0]}
    command = [f"{place}/bin/spark-class", "org.apache.spark.deploy"]

    def start(name, *arguments):
        line = [command[0], f"{command[1]}.{name}", "--webui-port", "0", *arguments]
        return subprocess.Popen(line, env=environment, stdout=sys.stderr, stderr=sys.stderr)

    started = [start("master.Master", "--host", ADDRESSES[0], "--port", url.rpartition(":")[2])]
    try:
        for address in ADDRESSES:
            started.append(start("worker.Worker", "--host", address, "--cores", "1", "--memory", "512m", url))
        yield url
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


def session(url):
    from pyspark.sql import SparkSession

    settings = {
        "spark.driver.memory": "1g",
        "spark.executor.memory": "512m",
        "spark.ui.enabled": "false",
        "spark.driver.host": ADDRESSES[0],
        "spark.driver.bindAddress": ADDRESSES[0],
        "spark.sql.session.timeZone": "UTC",
        "spark.task.maxFailures": "3",
        "spark.sql.codegen.wholeStage": "false",
        # A task by itself is tried again beside it after this time.
        "spark.speculation": "true",
        "spark.speculation.task.duration.threshold": "1s",
        "spark.python.task.killTimeout": "100ms",
        "spark.scheduler.minRegisteredResourcesRatio": "1.0",
        "spark.scheduler.maxRegisteredResourcesWaitingTime": f"{UP_SECONDS_MAX}s",
    }
    builder = SparkSession.builder.master(url)
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def parquet_of(table):
    import pyarrow.parquet as pq

    folder = scenarios.FOLDER / "parquet"
    folder.mkdir()
    for part, start in enumerate(range(0, len(table), 7000)):
        pq.write_table(table.slice(start, 7000), folder / f"{part}.parquet")
    return str(folder)


class Lacking:
    """What a class without this attribute has."""

    def __get__(self, *_):
        raise AttributeError


def main():
    scenarios.use_shims()
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["JAVA_TOOL_OPTIONS"] = JAVA_OPTIONS
    folder = parquet_of(scenarios.table())
    with cluster() as url:
        spark = session(url)
        try:
            tell(spark, folder)
        finally:
            spark.stop()


def tell(spark, folder):
    import shardy_spark
    import shardy_task

    rows = spark.read.parquet(folder)

    def write(scenario, frame, *, worker=None, plan=None, **options):
        return shardy_spark.write_snapshot(frame, scenarios.plan(scenario, worker=worker, **(plan or {})), **options)

    def settings():
        names = ["spark.sql.shuffle.partitions", "spark.sql.adaptive.enabled", "spark.shardy.test"]
        return {name: spark.conf.get(name, "<undefined>") for name in names}

    def in_settings():
        spark.conf.set("spark.sql.shuffle.partitions", "5")
        before = settings()
        conf = {name: value for name, value in zip(before, ["7", "true", "there"])}
        published = write("settings", rows, conf=conf, cache_input=True, verify=True)
        return published, {"before": before, "after": settings(), "cached": rows.storageLevel.useDisk}

    scenarios.run("settings", in_settings)
    scenarios.run("modules", lambda: {"found": [row.name for row in rows.mapInArrow(modules, "name string").collect()]})

    def before_ids():
        texts = {"key": "name", "key_encoding": "utf8", "sort_within_partitions": True}
        kind = type(rows)
        kept = kind.repartitionById
        kind.repartitionById = Lacking()
        try:
            return write("before 4.1", rows, plan=texts, partitions=2)
        finally:
            kind.repartitionById = kept

    scenarios.run("before 4.1", before_ids)
    regions = {
        "shards": None,
        "cel_expr": "region",
        "cel_column": "region:string",
        "routing_values": json.dumps(["asia", "eu", "us"]),
        "value": "json:name,large,count,seen,price",
        # What has to be quoted.
        "shard_id_column": "the shard",
    }
    types = rows.selectExpr("*", "timestamp_seconds(id) seen", "cast(id / 4 as decimal(20, 2)) price")
    large = {"spark.sql.execution.arrow.useLargeVarTypes": "true"}

    def kept():
        types.persist()
        published = write("types", types, plan=regions, partitions=2, conf=large, cache_input=True)
        cached = types.storageLevel.useDisk
        types.unpersist()
        return published, {"cached": cached}

    scenarios.run("types", kept)
    fixed = {"spark.shardy.test": "there", "spark.executor.memory": "1g"}
    scenarios.run("fixed setting", lambda: write("fixed setting", rows, conf=fixed))
    scenarios.run("after it", settings)

    def killed():
        worker = None
        for trouble in ("build-killed", "route-killed"):
            worker = scenarios.troubled(trouble, trouble, worker)
        published = command_line(shardy_spark, folder, worker)
        return published, {"happened": scenarios.happened("build-killed") and scenarios.happened("route-killed")}

    scenarios.run("killed", killed)

    def engine_lost():
        worker = scenarios.troubled("engine lost", "build-engine-lost")
        return write("engine lost", rows, worker=worker), {"happened": scenarios.happened("engine lost")}

    scenarios.run("engine lost", engine_lost)

    def slow():
        worker = scenarios.troubled("slow", "build-slow")
        # One task: of these, Spark need not guess whether they are slower than others.
        plan = {"shards": None, "single_shard": True, "sort_within_partitions": True}
        return write("slow", rows, worker=worker, plan=plan), {"happened": scenarios.happened("slow")}

    scenarios.run("slow", slow)
    scenarios.run("no rows", lambda: write("no rows", rows.where("id < 0")))

    def but(id="id", body="body"):
        return rows.coalesce(1).selectExpr(f"{id} id", "name", f"{body} body")

    job = scenarios.plan("refused")
    version = json.loads(job.text)["packageVersion"]
    other = shardy_task.Job(job.text.replace(f'"packageVersion": "{version}"', '"packageVersion": "0.0.1"'))
    refused = {
        "NaN": (job, but(id="if(id = 77, double('NaN'), double(id))")),
        "null key": (job, but(id="if(id = 77, null, id)")),
        "text as key": (job, but(id="string(id)")),
        "null value": (job, but(body="if(id = 77, null, body)")),
        "number as value": (job, but(body="id")),
        "missing column": (job, rows.coalesce(1).drop("id", "large")),
        "shard column": (job, rows.withColumnRenamed("region", "shard_id")),
        "other version": (other, rows.coalesce(1)),
        "missing worker": (shardy_task.Job(job.text, worker="/no/such/shardy"), rows.coalesce(1)),
    }
    for name, (refusing, frame) in refused.items():
        scenarios.run(name, lambda: shardy_spark.write_snapshot(frame, refusing, partitions=1))


def command_line(shardy_spark, folder, worker):
    """As it is submitted, into the session that there is."""
    file = scenarios.FOLDER / "job.json"
    file.write_text(scenarios.plan("killed").text)
    options = ["--input", folder, "--conf", "spark.sql.adaptive.enabled=false", "--partitions", "3"]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = shardy_spark.main(
            ["--job", str(file), "--worker", shlex.join(worker), *options, "--rows", "20000", "--verify"]
        )
    if code != 0:
        raise RuntimeError(f"shardy_spark has ended with {code}")
    return json.loads(printed.getvalue())


def modules(batches):
    import pyarrow as pa

    for _ in batches:
        pass
    names = [name for name in sys.modules if name.startswith("shardy")]
    yield pa.RecordBatch.from_pydict({"name": names}, pa.schema([("name", pa.string())]))


if __name__ == "__main__":
    main()
