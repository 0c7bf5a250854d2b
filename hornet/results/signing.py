"""Signatures by SSH keys (ssh-keygen(1), -Y): of a text, and whose a signature is."""

from __future__ import annotations

from pathlib import Path

from hornet.errors import CommandError
from hornet.foreign_file import ForeignFileError
from hornet.host.proc import run

# A signature is only good for this purpose.
NAMESPACE = "hornetos-certificate"
TIMEOUT_S = 60


def sign(text: str, key: Path, work: Path) -> str:
    """The armored signature of a text by a private key, which ssh-agent may hold. Raises CommandError."""
    signed = work / "text"
    signed.write_text(text, encoding="utf-8")
    words: list[str | Path] = ["ssh-keygen", "-Y", "sign", "-f", key, "-n", NAMESPACE, signed]
    run(words, timeout_s=TIMEOUT_S, hint="name a private key that ssh-keygen can use without asking")
    return (work / "text.sig").read_text(encoding="utf-8")


def signer(text: bytes, signature: bytes, allowed_signers: Path, work: Path) -> str:
    """Who of the allowed signers (ssh-keygen(1), ALLOWED SIGNERS) signed a text.

    Raises ForeignFileError if none of them did.
    """
    signed = work / "signature"
    signed.write_bytes(signature)
    common: list[str | Path] = ["-n", NAMESPACE, "-s", signed, "-f", allowed_signers]
    try:
        found = run(["ssh-keygen", "-Y", "find-principals", *common], timeout_s=TIMEOUT_S).output.split("\n")[0]
        words: list[str | Path] = ["ssh-keygen", "-Y", "verify", "-I", found, *common]
        run(words, timeout_s=TIMEOUT_S, input_text=text.decode())
    except (CommandError, UnicodeDecodeError) as error:
        raise ForeignFileError(
            f"not signed by anybody in {allowed_signers}: {str(error).splitlines()[0]}",
            "add the signer's public key to the file, as in: name@example.org ssh-ed25519 AAAA…",
        ) from error
    return found
