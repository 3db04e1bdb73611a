"""Ray's scenarios, on a cluster of a head without CPUs and two nodes, one of which gets lost."""

import json
import os
import subprocess
import sys
import threading

import scenarios

SYSTEM_CONFIG = {
    # Nodes that got lost are given up soon.
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1000,
    "health_check_failure_threshold": 3,
    # Processes are kept: to start one takes seconds.
    "idle_worker_killing_time_threshold_ms": 600_000,
    "num_workers_soft_limit": 12,
}


def main():
    scenarios.use_shims()
    os.environ.update({"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "RAY_DEDUP_LOGS": "0"})
    import ray
    from ray.cluster_utils import Cluster

    store = {"object_store_memory": 100 << 20, "include_dashboard": False}
    cluster = Cluster(True, head_node_args={"num_cpus": 0, "_system_config": SYSTEM_CONFIG, **store})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=2, object_store_memory=100 << 20)
        ray.init(address=cluster.address, log_to_driver=True, logging_level="warning")
        tell(ray, cluster)
    finally:
        ray.shutdown()
        cluster.shutdown()


def tell(ray, cluster):
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
    import shardy_ray
    import shardy_task
    from ray.data.context import DataContext, ShuffleStrategy

    DataContext.get_current().enable_progress_bars = False
    rows = scenarios.table()
    folder = scenarios.FOLDER / "parquet"
    folder.mkdir()
    for part, start in enumerate(range(0, len(rows), 7000)):
        pq.write_table(rows.slice(start, 7000), folder / f"{part}.parquet")

    def read():
        return ray.data.read_parquet(str(folder))

    def of(table):
        return ray.data.from_arrow([table.slice(0, 7000), table.slice(7000)])

    def write(scenario, dataset, *, worker=None, plan=None, **options):
        job = scenarios.plan(scenario, worker=worker, **(plan or {}))
        return shardy_ray.write_snapshot(dataset, job, **options)

    scenarios.run("parquet", lambda: write("parquet", read(), verify=True))
    modules = of(rows).map_batches(
        lambda table: pa.table({"name": [name for name in sys.modules if name.startswith("shardy")]}),
        batch_format="pyarrow",
    )
    scenarios.run("modules", lambda: {"found": [row["name"] for row in modules.take_all()]})

    def in_settings():
        """Two at a time, with one context, under a strategy that cannot shuffle by a column."""
        dataset = of(rows)
        dataset.context.shuffle_strategy = ShuffleStrategy.SORT_SHUFFLE_PULL_BASED
        texts = {"key": "name", "key_encoding": "utf8", "sort_within_partitions": True}
        told = []
        other = threading.Thread(
            target=lambda: told.append(write("texts", dataset, plan={**texts, "shards": 2}, partitions=1))
        )
        other.start()
        published = write("settings", dataset, plan=texts, partitions=2)
        other.join()
        more = {"strategy": dataset.context.shuffle_strategy.value, "changed": len(shardy_ray._changed)}
        return published, {**more, "other": told[0]["rows_written"]}

    scenarios.run("settings", in_settings)

    def older():
        dataset = of(rows)
        dataset.context.shuffle_strategy = ShuffleStrategy.HASH_SHUFFLE
        return write("older shuffle", dataset, plan={"value": "json:name,region,large,count"}, partitions=2)

    scenarios.run("older shuffle", older)
    cel = {
        "shards": None,
        "cel_expr": "region",
        "cel_column": "region:string",
        "routing_values": json.dumps(["asia", "eu", "us"]),
    }
    scenarios.run("cel", lambda: write("cel", of(rows), plan=cel))
    single = {"shards": None, "single_shard": True, "sort_within_partitions": True}
    scenarios.run("single, sorted", lambda: write("single, sorted", of(rows), plan=single))

    def changed(name, value, type=None):
        """With this value in the 42nd row of the second block."""
        at = rows.schema.get_field_index(name)
        column = rows[name] if type is None else rows[name].cast(type)
        mask = pc.equal(pa.array(range(len(rows))), 7041)
        return of(rows.set_column(at, name, pc.if_else(mask, pa.scalar(value, column.type), column)))

    bad = {
        "NaN": changed("id", float("nan"), pa.float64()),
        "null key": changed("id", None),
        "text as key": of(rows.set_column(0, "id", rows["name"])),
        "null value": changed("body", None),
        "number as value": of(rows.set_column(2, "body", rows["id"])),
        "missing column": of(rows.drop_columns(["id", "large"])),
        "late missing column": of(rows).map_batches(lambda table: table.drop_columns(["id"]), batch_format="pyarrow"),
        "shard column": of(rows.rename_columns({"region": "shard_id"})),
    }
    for name, dataset in bad.items():
        scenarios.run(name, lambda: write(name, dataset, partitions=2))
    job = scenarios.plan("version")
    version = json.loads(job.text)["packageVersion"]
    other = shardy_task.Job(job.text.replace(f'"packageVersion": "{version}"', '"packageVersion": "0.0.1"'))
    scenarios.run("other version", lambda: shardy_ray.write_snapshot(of(rows), other))
    missing = shardy_task.Job(job.text, worker="/no/such/shardy")
    scenarios.run("missing worker", lambda: shardy_ray.write_snapshot(of(rows), missing))
    scenarios.run("no rows", lambda: write("no rows", of(rows.slice(0, 0))))

    def split():
        """As if machines disagreed about the hash, so that rows of a shard get into two tasks."""
        router = shardy_ray._router

        def disagreeing(job, keys):
            other = router(job, keys[::-1])
            route_rows = router(job, keys)
            return lambda table: (route_rows if table["id"][0].as_py() == rows["id"][0].as_py() else other)(table)

        shardy_ray._router = disagreeing
        try:
            return write("split", of(rows))
        finally:
            shardy_ray._router = router

    scenarios.run("split", split)
    file = scenarios.FOLDER / "job.json"
    file.write_text(scenarios.plan("command line").text)
    script = [sys.executable, str(scenarios.SHIMS / "shardy_ray.py"), "--job", str(file), "--input", str(folder)]
    options = ["--address", cluster.address, "--partitions", "2", "--rows", str(len(rows)), "--verify"]

    def command_line():
        printed = subprocess.run([*script, *options], check=True, stdout=subprocess.PIPE).stdout
        return json.loads(printed.splitlines()[-1])

    scenarios.run("command line", command_line)
    for trouble in ("route-killed", "build-killed", "build-node-lost", "build-twice", "build-engine-lost"):

        def run(trouble=trouble):
            worker = scenarios.troubled(trouble, trouble)
            return write(trouble, of(rows), worker=worker), {"happened": scenarios.happened(trouble)}

        if trouble == "build-engine-lost":
            # What its results were made of is lost as well, and has to be read and routed again.
            cluster.add_node(num_cpus=2, object_store_memory=100 << 20)
        scenarios.run(trouble, run)


if __name__ == "__main__":
    main()
