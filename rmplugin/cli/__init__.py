"""The command `rmplugin`: one module per group of commands."""

import gc
import sys
import traceback

import click
from sqlalchemy.exc import OperationalError

from rmplugin.cli import credits as credits_commands
from rmplugin.cli import demo, hris_decisions, match, platforms, programmes, reviews, scim, setup
from rmplugin.errors import NotFoundError, RmError

# How many new objects Python waits for before it looks for circles among them.
COLLECT_AFTER = (50_000, 20, 20)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
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


for _group in (setup, platforms, hris_decisions, scim, programmes, match, reviews, credits_commands, demo):
    for _command in _group.commands:
        rmplugin.add_command(_command)


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
        click.echo(f"There is no {error.what}{named}. Nothing was changed.", err=True)
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
