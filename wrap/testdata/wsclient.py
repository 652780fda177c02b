"""TLS in the binary messages of a WebSocket, by Python's ssl and websockets modules.

usage: wsclient.py URL CA-FILE SERVER-NAME LINE
Sends LINE, prints what comes back up to the end of the line, and says goodbye, to TLS first and then to WebSocket.
"""
import asyncio, ssl, sys
import websockets


async def main(url, ca, name, line):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cafile=ca)
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    async with websockets.connect(url, subprotocols=["binary"], compression=None) as ws:
        async def until_done(call, *args):
            while True:
                try:
                    return call(*args)
                except ssl.SSLWantReadError:
                    await flush()
                    incoming.write(await ws.recv())

        async def flush():
            while data := outgoing.read(500):  # small messages: a flight takes several
                await ws.send(data)

        await until_done(tls.do_handshake)
        tls.write(line.encode() + b"\n")
        reply = b""
        while not reply.endswith(b"\n"):
            reply += await until_done(tls.read, 1000)
        print("reply:", reply.decode().strip(), flush=True)
        await until_done(tls.unwrap)
        await flush()
    print("closed with", ws.close_code, flush=True)


asyncio.run(main(*sys.argv[1:]))
