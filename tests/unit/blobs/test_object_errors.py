"""What an object store's errors are to people; the stores themselves are asked in the contract suite."""

import pytest
from obstore.exceptions import GenericError

from distfile_mirror.blobs.object_errors import object_errors
from distfile_mirror.errors import StorageError


@pytest.mark.parametrize(
    ("store", "advice"),
    [
        ("s3://bucket/a", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("gs://bucket", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("az://container/a", "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY"),
    ],
)
def test_who_has_no_credentials_is_told_where_they_come_from(store, advice):
    """Without any, obstore asks the cloud's own address for them."""
    asked = "Error performing GET http://169.254.169.254/computeMetadata/v1/token in 1.2s - Server returned 403"
    with pytest.raises(StorageError, match=f"no credentials for {store}: .*{advice}"), object_errors(store, "key"):
        raise GenericError(asked)
