"""A real admin server in a thread of the test, on a free port of the loopback interface."""

import socket
import threading
import time
from contextlib import contextmanager

from django.core.wsgi import get_wsgi_application

from distfile_mirror.admin.server import make_server, with_static_files


@contextmanager
def running_admin(application=None, threads=4):
    """Give the server's address; the test's database must be committed to (transaction=True)."""
    application = application or with_static_files(get_wsgi_application())
    server = make_server(application, threads=threads, stop_grace=5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        deadline = time.monotonic() + 10
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
            server.config.app.executor.shutdown()
