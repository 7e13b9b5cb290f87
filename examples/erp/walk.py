"""What the people and the web shop of a mid-size company do, and try to do."""

from __future__ import annotations

from typing import Any, Optional

from checks import Check, both, lists_session, saw_identity, saw_none_of, says, show_identity, tells_nothing
from client import Response
from forge import with_claims
from hints import Hint
from walk import NOTICED_WITHIN, REVOKED_WITHIN, Walk

API, SHOP = "/api/v1", "/integration/v1"

HINTS = (
    Hint("root", "PUT", f"{API}/settings", "200: full access"),
    Hint("gerda", "PUT", f"{API}/settings", "403: a general manager approves, and does not configure"),
    Hint("gerda", "POST", f"{API}/invoices/7/approval", "200: that is approving"),
    Hint("sam", "GET", f"{API}/orders", "200: look at x-user-scope"),
    Hint("sam", "GET", f"{API}/users/sven/orders", "403: another's records"),
    Hint("sonja", "GET", f"{API}/users/sam/orders", "200: sam is in her department"),
    Hint("bea", "GET", f"{API}/branches/oslo/stock", "200: she manages that branch"),
    Hint("bea", "GET", f"{API}/branches/bergen/stock", "403: and not this one"),
    Hint("una", "GET", f"{API}/permissions", "200: what two roles can do together"),
    Hint("webshop", "POST", f"{SHOP}/orders", "200: a machine"),
)


def run(walk: Walk) -> None:
    three_parts(walk)
    own_records(walk)
    several_roles(walk)
    one_part_of_the_company(walk)
    custom_roles(walk)
    lifetimes(walk)
    machines(walk)
    sessions(walk)
    refreshing(walk)


def token_of(walk: Walk, user: str) -> str:
    return str(walk.log_in(user, "fjord")["access_token"])


def three_parts(walk: Walk) -> None:
    walk.table.section("resource:action:scope, and stars for each part")
    root, gerda, fiona, walt, olaf = (token_of(walk, user) for user in ("root", "gerda", "fiona", "walt", "olaf"))
    walk.step("root (full access): everything", "PUT", f"{API}/settings", 200, "allowed", token=root, body={"currency": "NOK"},
              check=saw_identity(user_id="root", user_roles="full_access", user_scope="*"), note=show_identity)
    walk.step("gerda (general manager) sees the stock", "GET", f"{API}/stock", 200, "allowed", token=gerda,
              check=saw_identity(user_scope="all"))
    walk.step("approves, in any department", "POST", f"{API}/departments/assembly/requisitions/7/approval", 200, "allowed",
              token=gerda)
    walk.step("and configures nothing", "PUT", f"{API}/settings", 403, "permission_missing", token=gerda, check=tells_nothing)
    walk.step("fiona (finance) writes an invoice", "POST", f"{API}/invoices", 200, "allowed", token=fiona, body={"amount": 100})
    walk.step("she has no warehouse", "GET", f"{API}/stock", 403, "permission_missing", token=fiona)
    walk.step("and no production", "GET", f"{API}/production/orders", 403, "permission_missing", token=fiona)
    walk.step("walt (warehouse) moves stock", "POST", f"{API}/stock/movements", 200, "allowed", token=walt, body={"article": 1})
    walk.step("he reads orders", "GET", f"{API}/orders/7", 200, "allowed", token=walt)
    walk.step("and changes none", "PUT", f"{API}/orders/7", 403, "permission_missing", token=walt)
    walk.step("olaf (observer) sees the production", "GET", f"{API}/production/orders", 200, "allowed", token=olaf)
    walk.step("no payroll: that is sensitive", "GET", f"{API}/payroll/runs", 403, "permission_missing", token=olaf)
    walk.step("and writes nothing", "POST", f"{API}/orders", 403, "permission_missing", token=olaf)


def own_records(walk: Walk) -> None:
    walk.table.section("own < department < all")
    sam, sonja = token_of(walk, "sam"), token_of(walk, "sonja")
    walk.step("sam (sales) lists orders: his own", "GET", f"{API}/orders", 200, "allowed", token=sam,
              check=saw_identity(user_id="sam", user_scope="own"), note=show_identity)
    said = [("x-user-scope", "*"), ("x-user-roles", "full_access")]
    walk.step("not more for saying so", "GET", f"{API}/orders", 200, "allowed", token=sam, headers=said,
              check=both(saw_identity(user_id="sam", user_scope="own"), saw_none_of(said)))
    walk.step("he works on his leads", "PUT", f"{API}/users/sam/leads/7", 200, "allowed", token=sam, body={"state": "won"})
    walk.step("on nobody else's", "PUT", f"{API}/users/sonja/leads/7", 403, "scope_insufficient", token=sam)
    quote = f"{API}/departments/sales-north/quotes/7/approval"
    walk.step("and approves no quotes, not even his", "POST", quote, 403, "scope_insufficient", token=sam)
    walk.step("sonja (sales manager) does", "POST", quote, 200, "allowed", token=sonja,
              check=saw_identity(user_scope="department"))
    # Who is in which department, the directory knows: the identity service is asked.
    walk.step("sonja sees sam's orders: her department", "GET", f"{API}/users/sam/orders", 200, "allowed", token=sonja)
    walk.step("not sven's: another department", "GET", f"{API}/users/sven/orders", 403, "scope_insufficient", token=sonja)


def several_roles(walk: Walk) -> None:
    walk.table.section("Several roles are a union")
    una = token_of(walk, "una")
    walk.step("una (sales, warehouse) writes an order", "POST", f"{API}/orders", 200, "allowed", token=una, body={"article": 1},
              check=saw_identity(user_scope="own"))
    walk.step("sees everybody's, as the warehouse does", "GET", f"{API}/orders", 200, "allowed", token=una,
              check=saw_identity(user_roles="employee,sales,warehouse", user_scope="all"), note=show_identity)
    walk.step("and writes no invoices, as neither does", "POST", f"{API}/invoices", 403, "permission_missing", token=una)


def one_part_of_the_company(walk: Walk) -> None:
    walk.table.section("A role for one department or branch")
    bea, dirk = token_of(walk, "bea"), token_of(walk, "dirk")
    walk.step("bea manages the branch oslo", "POST", f"{API}/branches/oslo/till", 200, "allowed", token=bea, body={"amount": 10},
              check=saw_identity(user_roles="employee,branch_manager;branch=oslo"), note=show_identity)
    walk.step("not bergen", "POST", f"{API}/branches/bergen/till", 403, "scope_insufficient", token=bea)
    walk.step("not the company's bank", "POST", f"{API}/cashflow/payments", 403, "scope_insufficient", token=bea)
    walk.step("dirk heads assembly, his own", "POST", f"{API}/departments/assembly/requisitions/7/approval", 200, "allowed",
              token=dirk)
    walk.step("and machining, as a deputy", "POST", f"{API}/departments/machining/requisitions/7/approval", 200, "allowed",
              token=dirk)
    walk.step("and no third", "POST", f"{API}/departments/goods/requisitions/7/approval", 403, "scope_insufficient", token=dirk)


def custom_roles(walk: Walk) -> None:
    walk.table.section("Roles of the company's own")
    fay, nora = token_of(walk, "fay"), token_of(walk, "nora")
    walk.step("fay (fair_team, defined with the identity)", "POST", f"{API}/leads", 200, "allowed", token=fay, body={"name": "x"},
              check=saw_identity(user_roles="employee,fair_team", user_scope="own"))
    walk.step("it says audit too, and cannot give that", "GET", f"{API}/audit/events", 403, "permission_missing", token=fay)
    walk.step("nora (order_desk): nobody knows that role", "POST", f"{API}/orders", 403, "permission_missing", token=nora)
    first = "roles:\n  # --- The whole company ---\n"
    original = walk.change_policy(first, first + "  order_desk: { sets: [order_processing, customer_care, view_goods] }\n")
    walk.step_until("it is composed of sets, in one line", "POST", f"{API}/orders", 200, "allowed", token=nora,
                    within=NOTICED_WITHIN)
    walk.step("and is no more than they are", "DELETE", f"{API}/orders/7", 403, "permission_missing", token=nora)
    walk.write_policy(original)
    walk.step_until("it is taken out again", "POST", f"{API}/orders", 403, "permission_missing", token=nora, within=NOTICED_WITHIN)


def lifetimes(walk: Walk) -> None:
    walk.table.section("Access tokens are short-lived, by role")
    for row, user, minutes in (("root's lives five minutes", "root", 5), ("gerda's lives ten", "gerda", 10), ("sam's fifteen", "sam", 15)):
        walk.step(row, "POST", "/v1/login", 200, "public", body=walk.credentials(user, "fjord"), check=says(expires_in=60 * minutes))
    sam = token_of(walk, "sam")
    walk.step("sam gives himself a role: forged", "PUT", f"{API}/settings", 401, "signature_invalid",
              token=with_claims(sam, roles=["full_access"]))


def machines(walk: Walk) -> None:
    walk.table.section("Machines have tokens of their own, and no sessions")
    shop = walk.client_token("webshop")
    walk.step("the web shop places an order", "POST", f"{SHOP}/orders", 200, "allowed", token=shop, body={"article": 1},
              check=saw_identity(user_id="webshop", user_roles="integration", user_scope="all"))
    walk.step("and does nothing among people", "GET", f"{API}/orders", 401, "session_expired", token=shop)


def sessions(walk: Walk) -> None:
    walk.table.section("Every login is a session on a device; an administrator ends any of them")
    laptop = token_of(walk, "sam")
    ida, sonja = token_of(walk, "ida"), token_of(walk, "sonja")
    phone = walk.step("sam logs in on his phone", "POST", "/v1/login", 200, "public",
                      body=walk.credentials("sam", "fjord", "phone"), headers=[("user-agent", "erp-app/1.0")]).json()
    session, token = str(phone.get("session_id")), str(phone.get("access_token"))
    known: dict[str, Any] = {"user": "sam", "device": "phone", "ip": "127.0.0.1", "user_agent": "erp-app/1.0", "revoked": False}
    walk.step("he sees device, address, last activity", "GET", "/v1/sessions", 200, "allowed", token=token,
              check=both(lists_session(session, **known), says_when_active(session)))
    walk.step("sonja, his manager, does not", "GET", "/v1/sessions?user=sam", 403, "allowed", token=sonja)
    walk.step("nor does she end it", "DELETE", f"/v1/sessions/{session}", 404, "allowed", token=sonja)
    walk.step("ida (IT) lists sam's sessions", "GET", "/v1/sessions?user=sam", 200, "allowed", token=ida,
              check=lists_session(session, **known))
    walk.step("and ends the one on the phone", "DELETE", f"/v1/sessions/{session}", 204, "allowed", token=ida)
    walk.step_until("the next request on it", "GET", f"{API}/orders", 401, "token_revoked", token=token, within=REVOKED_WITHIN)
    walk.step("his laptop goes on", "GET", f"{API}/orders", 200, "allowed", token=laptop)


def says_when_active(session: str) -> Check:
    """The list says when the session began and when it was last active."""

    def check(response: Response) -> Optional[str]:
        found = next(entry for entry in response.json()["sessions"] if entry["id"] == session)
        began, active = found.get("created_at"), found.get("last_active")
        in_order = isinstance(began, int) and isinstance(active, int) and began <= active
        return None if in_order else f"session {session} began at {began} and was last active at {active}"

    return check


def refreshing(walk: Walk) -> None:
    walk.table.section("Refresh tokens rotate on every use")
    first = walk.log_in("sven", "fjord")
    second = walk.step("sven refreshes", "POST", "/v1/token", 200, "public", body={"refresh_token": first["refresh_token"]}).json()
    third = walk.step("and again, with the new one", "POST", "/v1/token", 200, "public",
                      body={"refresh_token": second.get("refresh_token")}).json()
    token = str(third.get("access_token", ""))
    walk.step("the newest token", "GET", f"{API}/orders", 200, "allowed", token=token, check=saw_identity(user_id="sven"))
    walk.step("a used one again: a thief?", "POST", "/v1/token", 401, "public", body={"refresh_token": first["refresh_token"]})
    walk.step_until("so the whole session ends", "GET", f"{API}/orders", 401, "token_revoked", token=token, within=REVOKED_WITHIN)
