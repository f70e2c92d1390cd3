"""The use of Ray's private functions, in one place, as observed in Ray 2.60."""

import ray


def address_of(address: str) -> str:
    """Return the host and port of the cluster that `address` names.

    Raises:
        ConnectionError: if `address` is auto, and no cluster runs on this machine.
        ValueError: if `address` is not a valid address.
    """
    return str(ray._private.services.canonicalize_bootstrap_address(address))
