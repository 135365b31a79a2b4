"""What a process that serves loads, and what it does not."""

import subprocess
import sys
from textwrap import dedent

LEFT_OUT = """click email.parser html http.client multiprocessing prometheus_client proxy.demo
    proxy.drivers.conversation_call shutil sqlalchemy starlette.requests"""


def run(program: str) -> str:
    """What a fresh process prints."""
    return subprocess.run([sys.executable, "-c", dedent(program)], check=True, capture_output=True, text=True).stdout


def test_what_a_process_that_serves_does_not_load() -> None:
    """What takes memory and is never used is not loaded, as uvicorn's command line and Starlette's requests."""
    program = f"""
        import sys
        from proxy.cli import parsed, without_command_line
        without_command_line()
        from proxy.commands.serve import _assembled
        from proxy.settings import load
        parsed([])
        _assembled(load({{"UNPINNED_UPSTREAM": "http://127.0.0.1:1/v1"}}))
        print(sorted(set({LEFT_OUT!r}.split()) & set(sys.modules)))
    """
    assert run(program) == "[]\n"


def test_uvicorn_is_whole_for_whoever_asks() -> None:
    """What uvicorn's package has is found in it, whether or not its own parts were loaded before."""
    program = """
        import sys
        from proxy.server.uvicorn_package import without_command_line
        without_command_line()
        from uvicorn import Config, Server
        import uvicorn.server
        print("click" in sys.modules, Config is uvicorn.config.Config, Server is uvicorn.server.Server)
        try:
            uvicorn.nothing
        except AttributeError as error:
            print(error)
        print(uvicorn.__version__[0], uvicorn.run.__name__, uvicorn.Server is Server, "click" in sys.modules)
        before = uvicorn
        without_command_line()
        import uvicorn
        print(uvicorn is before)
    """
    assert run(program).splitlines() == [
        "False True True",
        "module 'uvicorn' has no attribute 'nothing'",
        "0 run True True",
        "True",
    ]
