import pytest

from tests.support.servers import serving


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """One for all modules whose `GROUP` is "server": it takes five seconds to start. Nobody kills it."""
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server
