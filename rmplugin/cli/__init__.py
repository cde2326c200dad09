"""The command `rmplugin`: one module per group of commands."""

import sys

import click

from rmplugin.cli import credits as credits_commands
from rmplugin.cli import demo, hris, match, platforms, programmes, setup
from rmplugin.errors import RmError


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


for _group in (setup, platforms, hris, programmes, match, credits_commands, demo):
    for _command in _group.commands:
        rmplugin.add_command(_command)


def main() -> None:
    """Run the command line; exits 0, 1 when it failed, 2 when it was called wrongly.

    **Touches** what the command touches.
    """
    try:
        rmplugin(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("Stopped. Nothing half-done was kept.", err=True)
        sys.exit(1)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except RmError as error:
        click.echo(error.message_for_user, err=True)
        sys.exit(1)
