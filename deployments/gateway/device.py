"""What somebody signs in with, as far as the request tells."""

import re
from typing import Annotated

from fastapi import Depends, Request

from deployments.gateway.origin import Address
from domain.tenancy import Device

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


async def device_of(request: Request, address: Address) -> Device:
    return Device(_UNPRINTABLE.sub("?", request.headers.get("user-agent", "")[:200]), address)


CurrentDevice = Annotated[Device, Depends(device_of)]
