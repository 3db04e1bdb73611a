"""Types keys at a program on a pseudo terminal: terminal.py KEYS PROGRAM ARGS...; KEYS is a JSON array of [wait, keys].

Waits for the text `wait` each time, at most 20 seconds, then types the keys one by one; prints what the program showed,
and ends with its exit code.
"""
import json, os, pty, select, sys, time

steps = json.loads(sys.argv[1])
child, terminal = pty.fork()
if child == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
shown, seen = b"", 0


def read(seconds):
    global shown
    if not select.select([terminal], [], [], seconds)[0]:
        return True
    try:
        data = os.read(terminal, 4096)
    except OSError:
        data = b""
    shown += data
    return data != b""


for wait, keys in steps:
    end = time.time() + 20
    while wait.encode() not in shown[seen:] and time.time() < end and read(0.2):
        pass
    seen = len(shown)
    time.sleep(0.1)
    for key in keys:
        os.write(terminal, key.encode())
        time.sleep(0.02)
while read(20):
    pass
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
