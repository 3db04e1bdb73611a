"""Reads databases with SlateDB itself: for each folder that is given its rows by scan, and whether every key is found.

Prints one JSON object a line. Give folders that may be changed: SlateDB's readers write checkpoints into them.
"""
import asyncio, json, os, sys
from slatedb.uniffi import DbReaderBuilder, KeyRange, ObjectStore


async def read(folder):
    reader = await DbReaderBuilder(folder.lstrip("/"), ObjectStore.resolve("file:///")).build()
    rows = await reader.scan(KeyRange(start=None, start_inclusive=True, end=None, end_inclusive=False))
    found = []
    while (row := await rows.next()) is not None:
        found.append([bytes(row.key).hex(), bytes(row.value).hex()])
    lost = [key for key, value in found if bytes(await reader.get(bytes.fromhex(key)) or b"").hex() != value]
    invented = [key for key, _ in found if await reader.get(bytes.fromhex(key) + b"\0") is not None]
    await reader.shutdown()
    return {"rows": found, "lost": lost, "invented": invented}


async def main():
    for folder in sys.argv[1:]:
        print(json.dumps(await read(folder)))
    sys.stdout.flush()
    os._exit(0)  # SlateDB's threads are of no interest any more.


asyncio.run(main())
