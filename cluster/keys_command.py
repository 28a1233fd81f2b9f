"""`loquent keys`: list, rotate and exchange the keys that encrypt what is stored."""

from typing import Annotated
from uuid import UUID

import typer

from cluster.embedded.process import SetupError
from cluster.terminal import console, end_well, fail, settings

keys_app = typer.Typer(help="Keys that encrypt what is stored.", no_args_is_help=True)


@keys_app.command("list")
def list_keys(
    tenant: Annotated[UUID | None, typer.Option(help="Id of one tenant; all of them when not given.")] = None,
) -> None:
    """Show the versions of the tenants' keys, and the master key that wraps each."""
    from cluster.keys import show_keys

    end_well(lambda: show_keys(settings(), tenant, console))


@keys_app.command("rotate")
def rotate_tenant_keys(
    tenant: Annotated[UUID | None, typer.Argument(help="Id of the tenant.")] = None,
    everybody: Annotated[bool, typer.Option("--all", help="Every tenant that has a key.")] = False,
) -> None:
    """Make a new version of a tenant's key; the platform seals everything anew, then the older version goes."""
    from cluster.keys import rotate_keys

    if (tenant is None) != everybody:
        raise fail("Name a tenant, or say --all.")
    end_well(lambda: rotate_keys(settings(), tenant, console))


@keys_app.command("add-master")
def add_master() -> None:
    """Put a new master key before the one in the data folder; it counts from the next `loquent up` on."""
    from cluster.key_file import add_master_key

    try:
        name = add_master_key(settings())
    except SetupError as error:
        raise fail(str(error)) from None
    console.print(f"The newest master key is {name}; restart Loquent, then run `loquent keys rotate-master`.")


@keys_app.command("rotate-master")
def rotate_master() -> None:
    """Wrap every tenant's keys with the newest master key; the platform must know it already."""
    from cluster.keys import rewrap_keys

    end_well(lambda: rewrap_keys(settings(), console))


@keys_app.command("reseal")
def reseal() -> None:
    """Seal at once what is in clear or sealed with an older key; the platform does it by itself every hour."""
    from cluster.keys import reseal_now

    end_well(lambda: reseal_now(settings(), console))
