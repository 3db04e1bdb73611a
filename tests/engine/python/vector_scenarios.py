"""Vectors through the shims of all engines that there are, each on this machine."""

import os
import sys
from importlib.util import find_spec

import scenarios

CLUSTER = {"shards": 3, "sharding": "cluster", "train_file": scenarios.FOLDER / "vectors.arrows"}


def job(scenario, **options):
    vector = {"vector": "vector", "vector_dim": 4, "vector_metric": "l2", "payload": "name"}
    return scenarios.plan(scenario, value=None, **vector, **options)


def in_dask(table):
    import dask
    import dask.dataframe as dd
    import pyarrow as pa
    import shardy_dask

    # Dask makes texts of vectors otherwise.
    with dask.config.set({"dataframe.convert-string": False}):
        frame = dd.from_pandas(table.to_pandas(), npartitions=3)
        schema = {"vector": pa.list_(pa.float32()), "name": pa.string()}
        return shardy_dask.write_snapshot(frame, job("dask", **CLUSTER), schema=schema)


def in_spark(table):
    import shardy_spark
    from pyspark.sql import SparkSession

    os.environ.update({"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"})
    spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    try:
        frame = spark.createDataFrame(table).repartition(3)
        return shardy_spark.write_snapshot(frame, job("spark", **CLUSTER))
    finally:
        spark.stop()


def in_ray(table):
    import ray
    import ray.data
    import shardy_ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, _node_ip_address="127.0.0.1")
    try:
        dataset = ray.data.from_arrow([table.slice(0, 200), table.slice(200)])
        return shardy_ray.write_snapshot(dataset, job("ray", **CLUSTER))
    finally:
        ray.shutdown()


def main():
    scenarios.use_shims()
    table = scenarios.table("vectors")
    engines = {"dask": ("distributed", in_dask), "spark": ("pyspark", in_spark), "ray": ("ray", in_ray)}
    for name, (module, build) in engines.items():
        if find_spec(module) is not None:
            scenarios.run(name, lambda: build(table))


if __name__ == "__main__":
    main()
