"""Blobs in S3, or in a store that speaks its language, through s3fs.

Credentials, region and endpoint come from where the AWS tools look for them: ``AWS_ACCESS_KEY_ID``,
``AWS_PROFILE``, ``AWS_ENDPOINT_URL_S3``, ``~/.aws``, the role of the machine or the pod.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator
from email.utils import parsedate_to_datetime
from functools import cached_property, partial
from typing import Any, Final, TypeVar

from maskloop.blobs.failures import explain_s3
from maskloop.blobs.port import Blob, is_within
from maskloop.digest import digest_bytes
from maskloop.errors import ConfigurationError, IntegrityError

_Told = TypeVar("_Told")
_DIGEST: Final = "sha256"
_TIMEOUTS: Final = {"connect_timeout": 5, "read_timeout": 30, "retries": {"max_attempts": 1}}
_ATTEMPTS: Final = 3
_MAX_DELETED_AT_ONCE: Final = 1000
_GONE: Final = ("NoSuchKey", "404")


class S3Blobs:
    """A prefix in a bucket. Each object carries the sha256 of its bytes, which every read is checked against.

    Args:
        bucket: That exists.
        prefix: Of every name, without slashes at its ends; may be empty.
        open_files: Opens the file system of s3fs, when it is first needed; by default with what the
            environment says.
    """

    def __init__(self, bucket: str, prefix: str = "", open_files: Callable[[], Any] | None = None) -> None:
        self._bucket, self._prefix = bucket, prefix
        self._open_files = open_files or open_s3

    @property
    def where(self) -> str:
        """The address."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def put(self, name: str, data: bytes) -> None:
        """Write an object; see `Blobs.put`. S3 shows it when it is whole."""
        path = f"{self._bucket}/{self._key(name)}"
        metadata = {_DIGEST: digest_bytes(data)}
        self._ask(lambda files: files._pipe_file(path, data, Metadata=metadata))

    def get(self, name: str) -> bytes | None:
        """Read an object; see `Blobs.get`."""

        async def read(files: Any) -> tuple[bytes, str] | None:
            try:
                answer = await files._call_s3("get_object", Bucket=self._bucket, Key=self._key(name))
            except FileNotFoundError as error:
                if _code_of(error) in _GONE:
                    return None
                raise
            async with answer["Body"] as body:
                return await body.read(), answer.get("Metadata", {}).get(_DIGEST, "")

        found = self._ask(read)
        if found is None:
            return None
        data, digest = found
        if digest and digest != digest_bytes(data):
            raise IntegrityError(
                "an object is not what was written",
                where=f"{self.where}/{name}",
                hint="Bring it back from a backup or an earlier version of the object, or delete it",
            )
        return data

    def list(self, folder: str = "") -> tuple[Blob, ...]:
        """List objects, a thousand with each request; see `Blobs.list`."""
        start = self._key(folder) if folder else f"{self._prefix}/" if self._prefix else ""

        async def read(files: Any) -> list[Blob]:
            found: list[Blob] = []
            more: dict[str, str] = {}
            while True:
                asked = {"Bucket": self._bucket, "Prefix": start, **more}
                page = await files._call_s3("list_objects_v2", **asked)
                found.extend(self._blobs_of(page))
                if not page.get("IsTruncated"):
                    return found
                more = {"ContinuationToken": page["NextContinuationToken"]}

        return tuple(blob for blob in self._ask(read) if is_within(blob.name, folder))

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects, a thousand with each request; see `Blobs.delete`."""
        keys = [{"Key": self._key(name)} for name in names]
        for start in range(0, len(keys), _MAX_DELETED_AT_ONCE):
            some = {"Objects": keys[start : start + _MAX_DELETED_AT_ONCE], "Quiet": True}
            self._ask(partial(self._delete_some, some))

    def below(self, folder: str) -> S3Blobs:
        """Return a longer prefix; see `Blobs.below`."""
        return S3Blobs(self._bucket, self._key(folder), lambda: self._files)

    def _delete_some(self, some: Any, files: Any) -> Coroutine[Any, Any, Any]:
        asked: Coroutine[Any, Any, Any] = files._call_s3("delete_objects", Bucket=self._bucket, Delete=some)
        return asked

    @cached_property
    def _files(self) -> Any:
        return self._open_files()

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    def _blobs_of(self, page: Any) -> Iterator[Blob]:
        now = parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"])
        for one in page.get("Contents", ()):
            name = one["Key"].removeprefix(f"{self._prefix}/" if self._prefix else "")
            tag = one.get("ETag", "").strip('"')
            is_md5 = len(tag) == 32 and not set(tag) - set("0123456789abcdef")
            yield Blob(name, one["Size"], (now - one["LastModified"]).total_seconds(), tag if is_md5 else "")

    def _ask(self, question: Callable[[Any], Coroutine[Any, Any, _Told]]) -> _Told:
        """Ask S3 on the thread of fsspec; say in plain words what it refuses."""
        from botocore.exceptions import BotoCoreError
        from fsspec.asyn import sync

        files = self._files
        try:
            return sync(files.loop, question, files)  # type: ignore[no-any-return]
        except (OSError, BotoCoreError) as error:
            raise explain_s3(error, self.where) from error


def open_s3(**options: Any) -> Any:
    """Open s3fs with timeouts after which a store counts as away.

    Raises:
        ConfigurationError: if s3fs is not installed.
    """
    try:
        from s3fs import S3FileSystem
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "files are in S3, and s3fs is not installed",
            hint="Install maskloop with its extra: pip install 'maskloop[s3]'",
        ) from error
    files = S3FileSystem(config_kwargs=_TIMEOUTS, use_listings_cache=False, **options)
    files.retries = _ATTEMPTS
    return files


def _code_of(error: BaseException) -> str:
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))
