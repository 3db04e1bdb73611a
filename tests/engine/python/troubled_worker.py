"""Runs `shardy`, and once gets into trouble: troubled_worker.py TROUBLE MARK COMMAND...

TROUBLE, of the first task that makes the file MARK, is one of

- build-killed, route-killed: the worker dies by SIGKILL when it has rows;
- build-node-lost: the process that has started the worker dies by SIGKILL when the shards are in the store;
- build-engine-lost: as before, but the engine's process above it dies, and with it what it holds for others;
- build-slow: it does not end before another one has, which the engine has to start;
- build-twice: the task runs twice at the same time, as a speculative one, and both give their lines.
"""

import os
import signal
import subprocess
import sys
import time

KILLED_AFTER_SECONDS = 0.5
SLOW_SECONDS_MAX = 60


def main():
    trouble, mark, *command = sys.argv[1:]
    stage, _, what = trouble.partition("-")
    if "worker" not in command or stage not in command:
        os.execvp(command[0], command)
    rows = sys.stdin.buffer.read()
    # Without rows it is but a question.
    is_first = len(rows) > 5000 and claim(mark)
    if is_first and what == "killed":
        killed(command, rows)
    workers = [start(command) for _ in range(2 if is_first and what == "twice" else 1)]
    codes = [finished(worker, rows) for worker in workers] if len(workers) == 1 else together(workers, rows)
    if is_first and what == "node-lost" and codes == [0]:
        os.kill(os.getppid(), signal.SIGKILL)
    if is_first and what == "engine-lost" and codes == [0]:
        os.kill(engine_above(os.getppid()), signal.SIGKILL)
    if what == "slow" and len(rows) > 5000:
        wait_for_other(mark, is_first)
    sys.exit(max(codes))


def claim(mark):
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
        return True
    except FileExistsError:
        return False


def engine_above(pid):
    while True:
        told = subprocess.run(["ps", "-o", "ppid=,comm=", "-p", str(pid)], stdout=subprocess.PIPE, check=True).stdout
        above, name = told.decode().split(None, 1)
        if name.strip().endswith(("java", "raylet")):
            return pid
        pid = int(above)


def wait_for_other(mark, is_first):
    if not is_first:
        claim(f"{mark}.other")
        return
    until = time.monotonic() + SLOW_SECONDS_MAX
    while not os.path.exists(f"{mark}.other") and time.monotonic() < until:
        time.sleep(0.1)
    # The other one has to be seen as the first to end.
    time.sleep(3)


def start(command):
    return subprocess.Popen(command, stdin=subprocess.PIPE)


def killed(command, rows):
    worker = start(command)
    worker.stdin.write(rows[:-100])
    worker.stdin.flush()
    time.sleep(KILLED_AFTER_SECONDS)
    worker.kill()
    worker.wait()
    os.kill(os.getpid(), signal.SIGKILL)


def finished(worker, rows):
    worker.communicate(rows)
    return worker.returncode


def together(workers, rows):
    for worker in workers:
        worker.stdin.write(rows)
    for worker in workers:
        worker.stdin.close()
    return [worker.wait() for worker in workers]


if __name__ == "__main__":
    main()
