"""Codes of acknowledgements."""

from grappe.check.code import Code
from grappe.model.finding import Severity

ACCEPT_WITHOUT_FINDING = Code(
    name="accept-without-finding",
    severity=Severity.WARNING,
    title="An acknowledgement matches nothing",
    what="An entry of `accept:` names a finding and a place, and there is no such finding at that place.",
    why="""
    What was accepted is mended, or has moved. Left there, the entry would accept the same trouble unseen
    when it comes back.
    """,
    mend="Remove the entry, or correct its place: `grappe check` shows the place of each finding.",
)
ACCEPT_UNKNOWN_CODE = Code(
    name="accept-unknown-code",
    severity=Severity.ERROR,
    title="An acknowledgement names no known finding",
    what="An entry of `accept:` has a code that does not exist.",
    why="It accepts nothing, and reads as if it did.",
    mend="Take the code as `grappe check` prints it.",
)
ACCEPT_ERROR = Code(
    name="accept-error",
    severity=Severity.WARNING,
    title="An error cannot be accepted",
    what="An entry of `accept:` names a finding that is an error.",
    why="""
    An error means that the site cannot work as declared, or that somebody would be locked out. It blocks
    plan and apply whatever the file says about it.
    """,
    mend="Mend the error and remove the entry.",
)
