"""`python -m proxy.demo`: one application server of the demonstration, for several in containers of their own."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from proxy.demo.application import Application
from proxy.demo.transcripts import InFolder


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal arrives."""
    chosen = _parser().parse_args(arguments)
    key = chosen.key_file.read_text().strip() if chosen.key_file is not None else "sk-demo"
    application = Application(chosen.name, key, chosen.direct, chosen.through, InFolder(chosen.transcripts))
    application.others = [(name, address) for name, _, address in (other.partition("=") for other in chosen.other)]
    host, _, port = chosen.listen.rpartition(":")
    uvicorn.run(application.asgi(), host=host, port=int(port), log_config=None, ws="none")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m proxy.demo", description=__doc__)
    parser.add_argument("--listen", metavar="HOST:PORT", default="127.0.0.1:3000")
    parser.add_argument("--name", default="server")
    parser.add_argument("--key-file", metavar="FILE", type=Path, help="with the key of the API; without one: sk-demo")
    parser.add_argument("--direct", metavar="URL", required=True, help="base URL of the API itself")
    parser.add_argument("--through", metavar="URL", required=True, help="base URL of the Unpinned beside it")
    parser.add_argument("--transcripts", metavar="FOLDER", type=Path, required=True, help="shared by all servers")
    parser.add_argument("--other", metavar="NAME=URL", action="append", default=[], help="another server's page")
    return parser


if __name__ == "__main__":
    main()
