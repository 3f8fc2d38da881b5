from multidict import CIMultiDict

from distfile_mirror.downloaders.replay import headers_to_replay


def test_picks_and_cleans():
    headers = CIMultiDict(
        {
            "content-type": "application/gzip",
            "Content-Disposition": 'attachment; filename="f\udce9.tar"',
            "Last-Modified": "a\r\nSet-Cookie: b",
            "Content-Encoding": "identity",
            "Set-Cookie": "c",
        }
    )
    assert headers_to_replay(headers) == {
        "Content-Type": "application/gzip",
        "Content-Disposition": 'attachment; filename="fé.tar"',
    }
    assert headers_to_replay(CIMultiDict()) == {}
