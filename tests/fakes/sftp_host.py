"""A real SFTP server on loopback, on a thread of its own: user hr, with the password "right" or a key."""

import asyncio
import os
import threading

import asyncssh


class GrowingFiles(asyncssh.SFTPServer):
    """Somebody uploads while we read."""

    grow = False

    def read(self, file_obj, offset, size):
        found = super().read(file_obj, offset, size)
        if self.grow:
            type(self).grow = False
            with open(file_obj.name, "ab") as file:  # noqa: PTH123 - the name is bytes.
                file.write(b"3,Cy,C,,\n")
        return found


class SftpHost:
    """A real SSH server on a thread of its own; user hr with a password or a key."""

    def __init__(self, root):
        self.root, self.key = root, asyncssh.generate_private_key("ssh-ed25519")
        self.user_key = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
        self.files = type("Files", (GrowingFiles,), {})
        self.connections = []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        self.server = self.run(self._listen())
        self.port = self.server.get_port()
        return self

    def __exit__(self, *_problem):
        self.run(self._close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    async def _close(self):
        self.server.close()
        for connection in self.connections:
            connection.abort()
            await connection.wait_closed()
        await self.server.wait_closed()

    async def _listen(self):
        host = self

        class Door(asyncssh.SSHServer):
            def connection_made(self, connection):
                host.connections.append(connection)

            def begin_auth(self, _user):
                return True

            def password_auth_supported(self):
                return True

            def validate_password(self, username, password):
                return (username, password) == ("hr", "right")

            def public_key_auth_supported(self):
                return True

            def validate_public_key(self, _user, key):
                return key == host.user_key.convert_to_public()

        return await asyncssh.create_server(
            Door, "127.0.0.1", 0, server_host_keys=[self.key],
            sftp_factory=lambda chan: self.files(chan, chroot=os.fsencode(self.root)),
        )  # fmt: skip

    def account(self, path, **others):
        """Give the settings that reach a folder or file below its root."""
        where = f"sftp://hr@127.0.0.1:{self.port}{path}"
        return {"path": where, "password": "right", "host_key": self.key.get_fingerprint(), **others}
