"""A Ray on this machine with its job server: prints the address, and ends when stdin does."""

import os
import sys


def main():
    os.environ.update({"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "RAY_USAGE_STATS_ENABLED": "0"})
    import ray

    context = ray.init(
        num_cpus=2,
        _node_ip_address="127.0.0.1",
        include_dashboard=True,
        dashboard_host="127.0.0.1",
        object_store_memory=100 << 20,
        logging_level="warning",
    )
    try:
        print(f"http://{context.dashboard_url}", flush=True)
        sys.stdin.read()
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main()
