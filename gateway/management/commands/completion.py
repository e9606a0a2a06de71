"""`dragoman completion SHELL`: a script that completes commands and options."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

# Django itself completes if these variables are set (ManagementUtility.autocomplete).
_BASH = """_dragoman_completion() {
    COMPREPLY=( $( COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD \\
        DJANGO_AUTO_COMPLETE=1 "$1" ) )
}
complete -F _dragoman_completion -o default dragoman
"""
_FISH = """complete -c dragoman -f -a '(
    env COMP_WORDS=(commandline -cp | string collect) \\
        COMP_CWORD=(count (commandline -cop)) DJANGO_AUTO_COMPLETE=1 dragoman \\
        | string split " "
)'
"""
SCRIPTS = {
    "bash": _BASH,
    "zsh": "autoload -U +X bashcompinit && bashcompinit\n" + _BASH,
    "fish": _FISH,
}


class Command(BaseCommand):
    """`dragoman completion`."""

    help = 'Print a shell\'s completion script, for example: eval "$(dragoman completion bash)"'
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the name of the shell."""
        parser.add_argument("shell", choices=sorted(SCRIPTS))

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the script."""
        self.stdout.write(SCRIPTS[options["shell"]])
