"""Dask's scenarios, on a cluster of two processes."""

import json
import subprocess
import sys

import scenarios


def frame_of(table, partitions=3, columns=("id", "name", "body", "region", "large", "count")):
    """As pandas users have it: numbers of numpy, bytes as objects, an index that means nothing, an empty partition."""
    import dask.dataframe as dd
    import pandas as pd
    import pyarrow as pa

    frame = table.select(list(columns)).to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    frame = frame.astype({"id": "int64"})
    frame.index = [7] * len(frame)
    whole = dd.from_pandas(frame, npartitions=1, sort=False)
    size = -(-len(frame) // partitions)
    # Not known to Dask beforehand: what it reads from the frame is what it would read from files.
    bounds = [(at * size, (at + 1) * size) for at in range(partitions)] + [(len(frame), len(frame))]
    return dd.from_map(lambda bound: frame.iloc[bound[0] : bound[1]], bounds, meta=whole._meta)


def main():
    scenarios.use_shims()
    import dask
    import pandas as pd
    import pyarrow as pa
    import shardy_dask
    import shardy_task
    from distributed import Client, LocalCluster

    # Else Dask itself makes texts of bytes.
    dask.config.set({"dataframe.convert-string": False})
    rows, repeated = scenarios.table(), scenarios.table("repeated")
    assert frame_of(rows).dtypes["body"] == object

    def write(scenario, frame, *, worker=None, plan=None, **options):
        job = scenarios.plan(scenario, worker=worker, **(plan or {}))
        return shardy_dask.write_snapshot(frame, job, **options)

    # Without a cluster: threads of this process.
    json_columns = {"value": "json:name,region,large,count"}
    mixed = frame_of(rows)
    mixed["region"] = mixed["region"].astype("category")
    scenarios.run("threads", lambda: write("threads", mixed, plan=json_columns, partitions=2))
    scenarios.run("threads, repeated", lambda: write("threads, repeated", frame_of(repeated), partitions=2))
    scenarios.run("no rows", lambda: write("no rows", frame_of(rows.slice(0, 0)), partitions=2))
    single = {"shards": None, "single_shard": True}
    scenarios.run("threads, single", lambda: write("threads, single", frame_of(repeated), plan=single))

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:

        def modules(dask_worker):
            return [name for name in sys.modules if name.startswith("shardy")]

        scenarios.run("p2p", lambda: write("p2p", frame_of(repeated)))
        found = sorted({name for names in client.run(modules).values() for name in names})
        scenarios.run("modules", lambda: {"found": found})
        texts = {"key": "name", "key_encoding": "utf8", "sort_within_partitions": True}
        scenarios.run("tasks", lambda: write("tasks", frame_of(repeated), plan=texts, shuffle_method="tasks", partitions=2))
        scenarios.run(
            "single, sorted",
            lambda: write("single, sorted", frame_of(repeated), plan={**single, "sort_within_partitions": True}),
        )
        cel = {
            "shards": None,
            "cel_expr": "region",
            "cel_column": "region:string",
            "routing_values": json.dumps(["asia", "eu", "us"]),
        }
        scenarios.run("cel", lambda: write("cel", frame_of(rows), plan=cel, partitions=2))

        killed = scenarios.troubled("single, killed", "build-killed")
        scenarios.run(
            "single, killed", lambda: write("single, killed", frame_of(repeated), plan=single, worker=killed)
        )
        for trouble in ("route-killed", "build-killed", "build-node-lost", "build-twice"):

            def run(trouble=trouble):
                worker = scenarios.troubled(trouble, trouble)
                published = write(trouble, frame_of(repeated), worker=worker, partitions=2)
                return published, {"happened": scenarios.happened(trouble)}

            scenarios.run(trouble, run)

        def with_value(name, dtype, value):
            def change(part):
                part = part.astype({name: dtype})
                if len(part) and part["id"].iloc[0] == first_id:
                    part.iloc[41, part.columns.get_loc(name)] = value
                return part

            # The first row of the second partition.
            first_id = rows["id"][6667].as_py()
            frame = frame_of(rows)
            return frame.map_partitions(change, meta=frame._meta.astype({name: dtype}))

        bad = {
            "NaN": with_value("id", "float64", float("nan")),
            "null key": with_value("name", object, None),
            "text as key": with_value("id", object, "seven"),
            "fraction": with_value("id", object, 7.5),
            "null value": with_value("body", object, None),
            "number as value": with_value("body", object, 7),
            "missing column": frame_of(rows, columns=("id", "name", "large")),
        }
        for name, frame in bad.items():
            plan = texts if name == "null key" else {}
            scenarios.run(name, lambda: write(name, frame, plan=plan, partitions=2, retries=0))

        job = scenarios.plan("version")
        version = json.loads(job.text)["packageVersion"]
        other = shardy_task.Job(job.text.replace(f'"packageVersion": "{version}"', '"packageVersion": "0.0.1"'))
        scenarios.run("other version", lambda: shardy_dask.write_snapshot(frame_of(rows), other))
        missing = shardy_task.Job(job.text, worker="/no/such/shardy")
        scenarios.run("missing worker", lambda: shardy_dask.write_snapshot(frame_of(rows), missing))

        def tagged(part):
            return part.assign(tags=[[name, region] for name, region in zip(part["name"], part["region"])])

        frame = frame_of(rows)
        lists = frame.map_partitions(tagged, meta=frame._meta.assign(tags=pd.Series([], dtype=object)))
        tags = {"value": "json:tags,large"}
        scenarios.run("unknown type", lambda: write("unknown type", lists, plan=tags))
        typed = {"tags": pa.list_(pa.string())}
        scenarios.run("lists", lambda: write("lists", lists, plan=tags, schema=typed, partitions=2))
        scenarios.run("command line", lambda: command_line(client.scheduler_info()["address"], rows))


def command_line(address, rows):
    """As it is submitted, with another job that a file holds."""
    import pyarrow.parquet as pq

    folder = scenarios.FOLDER / "parquet"
    folder.mkdir()
    for part, start in enumerate(range(0, len(rows), 8000)):
        pq.write_table(rows.slice(start, 8000), folder / f"{part}.parquet")
    job = scenarios.FOLDER / "job.json"
    job.write_text(scenarios.plan("command line").text)
    script = [sys.executable, str(scenarios.SHIMS / "shardy_dask.py"), "--job", str(job), "--input", str(folder)]
    options = ["--scheduler", address, "--partitions", "2", "--rows", str(len(rows)), "--verify"]
    return json.loads(subprocess.run([*script, *options], check=True, stdout=subprocess.PIPE).stdout)


if __name__ == "__main__":
    main()
