"""What is used of Ray's inside, in one place: seen in Ray 2.60."""

import ray


def address_of(address: str) -> str:
    """The host and port of the cluster that `address` names.

    Raises:
        ConnectionError: where it is auto, and no cluster runs on this machine.
        ValueError: where it is none.
    """
    return str(ray._private.services.canonicalize_bootstrap_address(address))
