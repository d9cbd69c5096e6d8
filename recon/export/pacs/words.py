"""What a PACS answers, in words: the codes of DICOM's associations (PS3.8) and of storage (PS3.4, PS3.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from recon.export.pacs import Destination

State = Literal["stored", "stored with a warning", "refused", "not sent"]

_STATUSES = {
    0x0110: "it failed over it",
    0x0111: "it has an instance of this identity already",
    0x0117: "the identity of the instance is impossible",
    0x0122: "it does not store this kind of object",
    0x0124: "it does not allow this program to store",
    0xB000: "it changed elements of the data set",
    0xB006: "it left out elements of the data set",
    0xB007: "the data set does not match its kind of object",
}
# Where only the first digits count: value, mask, words.
_RANGES = (
    (0xA700, 0xFF00, "it is out of resources, such as room on its disk"),
    (0xA900, 0xFF00, "the data set does not match its kind of object"),
    (0xC000, 0xF000, "it cannot understand the data set"),
)
_ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
_TRANSFER_SYNTAX_NOT_SUPPORTED = 4


def explain_status(code: int, comment: str = "") -> tuple[State, str]:
    """Return what a status of C-STORE means for an instance.

    Parameters
    ----------
    code
        The status.
    comment
        What the PACS says of it in its own words.

    Returns
    -------
    The state of the instance, and a comment for a reader; none where all is well.
    """
    from pynetdicom.status import STATUS_SUCCESS, STATUS_WARNING, code_to_category

    category = code_to_category(code)
    if category == STATUS_SUCCESS:
        return "stored", ""
    words = _STATUSES.get(code) or next((text for value, mask, text in _RANGES if code & mask == value), "")
    # A comment is what somebody else's program sends: it stays on one line.
    quoted = " ".join(comment.split())
    said = f"the PACS says “{quoted}”" if quoted else ""
    text = "; ".join(one for one in (words, said) if one) or "the PACS does not say why"
    return ("stored with a warning" if category == STATUS_WARNING else "refused"), text


def explain_refusal(sop_class_uid: str, transfer_syntax_uid: str, result: int) -> str:
    """Return why a PACS does not take files of a kind, by the result of the presentation context."""
    from pydicom.uid import UID

    kind, coding = UID(sop_class_uid).name, UID(transfer_syntax_uid).name
    if result == _ABSTRACT_SYNTAX_NOT_SUPPORTED:
        return f"the PACS does not take {kind}"
    if result == _TRANSFER_SYNTAX_NOT_SUPPORTED:
        return f"the PACS does not take {kind} as {coding}"
    return f"the PACS does not take {kind} as {coding}, or not from this program"


def explain_rejection(destination: Destination, calling: str, source: int, diagnostic: int, reason: str) -> str:
    """Return why a PACS rejected an association and what to do.

    Parameters
    ----------
    destination
        The PACS.
    calling
        AE title of this program.
    source, diagnostic, reason
        As the answer says.
    """
    title = destination.ae_title
    if (source, diagnostic) == (1, 7):
        return (
            f"{destination} rejects the association: the called AE title {title} is not recognised. "
            f"Check the AE title of the PACS, and that it knows {calling}."
        )
    if (source, diagnostic) == (1, 3):
        return (
            f"{destination} rejects the association: the calling AE title {calling} is not recognised. "
            f"Have {calling} and this computer's address entered in the PACS, or call by a title that it knows."
        )
    if source == 3:
        return f"{destination} rejects the association: it is busy ({reason.lower()}). Try again later."
    return (
        f"{destination} rejects the association ({reason.lower()}). "
        f"Check that the PACS knows {calling} with this computer's address, and may be sent to."
    )
