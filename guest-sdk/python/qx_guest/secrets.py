"""Secrets of the operator that the component is granted.

    from qx_guest import secrets

    token = secrets.get("github_token")

In a module of its own: who does not import it does not ask for the right to.
"""

import qx_guest


def get(name: str) -> str:
    """The value. One that is not granted is a `Retry`: an operator can grant it."""
    return qx_guest._host().secret(name)
