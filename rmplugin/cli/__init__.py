"""The command `rmplugin`: one module per group of commands."""

import gc
import sys
import traceback
from importlib import import_module

import click
from sqlalchemy.exc import OperationalError

from rmplugin.errors import NotFoundError, RmError

# How many new objects Python waits for before it looks for circles among them.
COLLECT_AFTER = (200_000, 20, 20)
# Which module of this folder has a command. It is loaded when it is called: all of them take seconds.
COMMANDS = {
    "admin-link": "setup",
    "credits": "credits",
    "demo": "demo",
    "doctor": "setup",
    "hris": "hris_decisions",
    "init": "setup",
    "keys": "setup",
    "match": "match",
    "person": "programmes",
    "platform": "platforms",
    "programme": "programmes",
    "review": "reviews",
    "scim": "scim",
    "serve": "setup",
    "sink": "sinks",
    "skills": "skills",
    "worker": "setup",
}

# How a thing is named, where somebody who types its title finds nothing.
FOUND_BY = {"person": " A person is named by employee number, work address or id."}


class LateCommands(click.Group):
    """The commands of `COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's.
        """Name all commands. **Touches** pure."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's.
        """Give a command; None when there is none of that name. **Touches** loads its module."""
        if cmd_name not in COMMANDS:
            return None
        found: tuple[click.Command, ...] = import_module(f"rmplugin.cli.{COMMANDS[cmd_name]}").commands
        return next(command for command in found if command.name == cmd_name)


@click.group(cls=LateCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rmplugin")
def rmplugin() -> None:
    """Reverse mentoring inside the LMS that a company already has.

    \b
    First steps on a new machine:
      rmplugin init
      rmplugin platform add --help
      rmplugin hris add --help
      rmplugin serve     and, beside it,     rmplugin worker
    """


def main() -> None:
    """Run the command line; exits 0, 1 when it failed, 2 when it was called wrongly.

    **Touches** what the command touches.
    """
    # A large pool is a million small objects without circles: looking for some took a third of reading it.
    gc.set_threshold(*COLLECT_AFTER)
    try:
        # Instead of raising its exit codes, click returns them; a command that ends well returns nothing.
        sys.exit(rmplugin(standalone_mode=False) or 0)
    except click.exceptions.Abort:
        click.echo("Stopped. Nothing half-done was kept.", err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except NotFoundError as error:
        named = "" if error.typed is None else f" '{error.typed}'"
        advice = FOUND_BY.get(error.what, "")
        click.echo(f"There is no {error.what}{named}. Nothing was changed.{advice}", err=True)
        sys.exit(1)
    except RmError as error:
        click.echo(error.message_for_user, err=True)
        sys.exit(1)
    except OperationalError as error:
        # Its text may quote the address with the password.
        kind = type(error.orig).__name__
        click.echo(
            f"The database cannot be used ({kind}). Nothing was changed. Check it: rmplugin doctor", err=True
        )
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - a traceback helps no administrator, and quotes people's data.
        click.echo(_explain_fault(error), err=True)
        sys.exit(1)


def _explain_fault(error: Exception) -> str:
    place = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"Something went wrong on our side ({type(error).__name__}, {place.filename}:{place.lineno}). The "
        "last step was not saved; everything before it is safe. If it happens again, please report this line."
    )
