"""What people, integrations, services and the operator of a B2B SaaS do."""

from __future__ import annotations

import time
from typing import Any

from checks import (
    both,
    identity_seen,
    saw_assertion,
    saw_identity,
    saw_no_identity,
    saw_none_of,
    saw_permissions,
    show_identity,
    tells_nothing,
)
from forge import claims_of, with_claims
from hints import Hint
from processes import wait_until
from walk import REVOKED_WITHIN, Walk

ACME, GLOBEX = "/w/acme", "/w/globex"
EXPORT, TRAINING = "/internal/blog/export", "/internal/chatbot/training"

HINTS = (
    Hint("alice", "DELETE", f"{ACME}/blog/posts/1", "200: alice owns acme"),
    Hint("alice-globex", "DELETE", f"{GLOBEX}/blog/posts/1", "403: and is a viewer at globex"),
    Hint("alice-globex", "GET", f"{GLOBEX}/blog/posts/1", "200: look at x-user-permissions"),
    Hint("alice", "GET", f"{ACME}/chatbot/slots", "403: acme has not paid for the chatbot"),
    Hint("erin", "PUT", f"{GLOBEX}/chatbot/slots/monday", "403: she may only read slots"),
    Hint("gina", "PUT", f"{GLOBEX}/chatbot/slots/monday", "200: she may write them"),
    Hint("chatbot", "GET", EXPORT, "200: the service chatbot, for itself"),
    Hint("gina", "GET", EXPORT, "403: no person does that"),
)


def run(walk: Walk) -> None:
    one_person_many_workspaces(walk)
    exact_permissions(walk)
    signed_by_the_gateway(walk)
    roles_of_ones_own(walk)
    paid_for(walk)
    services_among_themselves(walk)
    a_new_workspace(walk)
    ending_tokens(walk)
    nothing_is_looked_up(walk)


def one_person_many_workspaces(walk: Walk) -> None:
    walk.table.section("One person, many workspaces, and one token for each")
    walk.step("alice logs in to acme", "POST", "/v1/login", 200, "public", body=walk.credentials("alice", "acme"))
    walk.step("bob is not a member of globex", "POST", "/v1/login", 403, "public", body=walk.credentials("bob", "globex"))
    owner = walk.log_in("alice", "acme")["access_token"]
    viewer = walk.log_in("alice", "globex")["access_token"]
    walk.step("alice (owner of acme) deletes a post", "DELETE", f"{ACME}/blog/posts/1", 200, "allowed", token=owner,
              check=saw_identity(user_id="alice", tenant_id="acme"))
    walk.step("that token is nothing at globex", "GET", f"{GLOBEX}/blog/posts/1", 403, "tenant_mismatch", token=owner,
              check=tells_nothing)
    walk.step("there she is a viewer, and reads", "GET", f"{GLOBEX}/blog/posts/1", 200, "allowed", token=viewer,
              check=both(saw_identity(user_id="alice", tenant_id="globex"),
                         saw_permissions("blog:posts.read", "blog:comments.read", "chatbot:slots.read")),
              note=show_identity)
    walk.step("and deletes nothing", "DELETE", f"{GLOBEX}/blog/posts/1", 403, "permission_missing", token=viewer,
              check=tells_nothing)


def exact_permissions(walk: Walk) -> None:
    walk.table.section("A token says exactly what it may do")
    bob = walk.log_in("bob", "acme")["access_token"]
    erin = walk.log_in("erin", "globex")["access_token"]
    gina = walk.log_in("gina", "globex")["access_token"]
    slot = f"{GLOBEX}/chatbot/slots/monday"
    walk.step("bob: a viewer's permissions, and one more", "POST", f"{ACME}/blog/posts/1/comments", 200, "allowed", token=bob,
              check=saw_permissions("blog:posts.read", "blog:comments.read", "chatbot:slots.read", "blog:comments.create"))
    walk.step("erin (editor) publishes: it takes two", "PUT", f"{GLOBEX}/blog/posts/1/publication", 200, "allowed",
              token=erin)
    walk.step("erin reads slots", "GET", slot, 200, "allowed", token=erin)
    walk.step("and writes none, whatever else she can do", "PUT", slot, 403, "permission_missing", token=erin)
    walk.step("gina (owner) writes them", "PUT", slot, 200, "allowed", token=gina, body={"from": "09:00", "to": "12:00"})
    walk.step("erin adds the permission to her token", "PUT", slot, 401, "signature_invalid",
              token=with_claims(erin, permissions=claims_of(erin)["permissions"] + ["chatbot:slots.write"]))
    said = [("x-user-permissions", "chatbot:slots.write"), ("x-user-roles", "owner"), ("x-tenant-id", "acme")]
    walk.step("erin says so in a header", "PUT", slot, 403, "permission_missing", token=erin, headers=said)
    walk.step("such headers never arrive", "GET", slot, 200, "allowed", token=erin, headers=said,
              check=both(saw_identity(user_id="erin", tenant_id="globex"), saw_none_of(said)))


def signed_by_the_gateway(walk: Walk) -> None:
    walk.table.section("A service can trust the gateway's signature alone")
    keys = walk.sidecar.request("GET", "/.well-known/jwks.json").json()["keys"]
    post = f"{ACME}/blog/posts/1"
    bob, chatbot = walk.log_in("bob", "acme")["access_token"], walk.client_token("chatbot")
    response = walk.step("what was decided arrives signed", "GET", post, 200, "allowed", token=bob,
                         check=saw_assertion(keys, aud="app", sub="bob", tenant="acme", method="GET", path=post))
    assertion = identity_seen(response).get("x-portcullis-assertion", "")
    walk.step("also for a service's own token", "GET", EXPORT, 200, "allowed", token=chatbot,
              check=saw_assertion(keys, sub="chatbot", client_id="chatbot", tenant=None, path=EXPORT))
    kept = [("x-portcullis-assertion", assertion)]
    walk.step("bob's assertion in another's request", "GET", EXPORT, 200, "allowed", token=chatbot, headers=kept,
              check=both(saw_assertion(keys, sub="chatbot"), saw_none_of(kept)))
    walk.step("... in nobody's", "GET", "/health", 200, "public", headers=kept, check=saw_no_identity)
    walk.step("... or as a token", "GET", post, 401, "issuer_unknown", token=assertion)


def roles_of_ones_own(walk: Walk) -> None:
    walk.table.section("Roles are templates, and each workspace has its own besides")
    acme = walk.log_in("lena", "acme")["access_token"]
    globex = walk.log_in("lena", "globex")["access_token"]
    walk.step("lena is acme's 'lead', which may publish", "PUT", f"{ACME}/blog/posts/1/publication", 200, "allowed", token=acme,
              check=saw_permissions("blog:posts.read", "blog:posts.update", "blog:posts.publish", "workspace:members.read"))
    walk.step("but not create", "POST", f"{ACME}/blog/posts", 403, "permission_missing", token=acme)
    walk.step("globex's 'lead' is another: it replies", "POST", f"{GLOBEX}/chatbot/conversations/7/replies", 200, "allowed",
              token=globex, check=saw_permissions("chatbot:slots.read", "chatbot:conversations.reply"))
    walk.step("and does not publish", "PUT", f"{GLOBEX}/blog/posts/1/publication", 403, "permission_missing", token=globex)


def paid_for(walk: Walk) -> None:
    walk.table.section("What a workspace has not paid for is dropped at the edge")
    alice = walk.log_in("alice", "acme")["access_token"]
    erin = walk.log_in("erin", "globex")["access_token"]
    walk.step("alice may write slots: acme has no chatbot", "PUT", f"{ACME}/chatbot/slots/monday", 403, "service_not_entitled",
              token=alice, check=tells_nothing)
    walk.step("acme has the blog", "GET", f"{ACME}/blog/posts", 200, "allowed", token=alice)
    walk.step("globex has the chatbot", "GET", f"{GLOBEX}/chatbot/slots", 200, "allowed", token=erin)
    walk.step("members cost nothing", "GET", f"{ACME}/members", 200, "allowed", token=alice)


def services_among_themselves(walk: Walk) -> None:
    walk.table.section("Services call each other with tokens of their own")
    credentials = walk.people.client_credentials("chatbot")
    walk.step("the chatbot asks for its token", "POST", "/v1/token", 200, "public", body=credentials)
    walk.step("with a wrong secret", "POST", "/v1/token", 401, "public", body={**credentials, "client_secret": "guess"})
    chatbot, blog = walk.client_token("chatbot"), walk.client_token("blog")
    walk.step("the chatbot reads the blog's export", "GET", EXPORT, 200, "allowed", token=chatbot,
              check=both(saw_identity(user_id="chatbot"), saw_permissions("blog:posts.export", "billing:usage.report")),
              note=show_identity)
    walk.step("it does not do the blog's part", "POST", TRAINING, 403, "permission_missing", token=chatbot)
    walk.step("the blog does", "POST", TRAINING, 200, "allowed", token=blog, body={"posts": [1]})
    walk.step("both report what they used", "POST", "/internal/usage", 200, "allowed", token=blog, body={"calls": 1})
    walk.step("neither gets into a workspace", "GET", f"{GLOBEX}/blog/posts", 403, "realm_mismatch", token=chatbot)
    walk.step("nor has it a session to look at", "GET", "/v1/sessions", 403, "realm_mismatch", token=chatbot)
    gina = walk.log_in("gina", "globex")["access_token"]
    walk.step("no person does what services do", "GET", EXPORT, 403, "realm_mismatch", token=gina)
    walk.step("a service without a token is nobody", "GET", EXPORT, 401, "credential_missing", headers=[("x-user-id", "chatbot")])
    walk.step("nor does it make more of its token", "POST", TRAINING, 401, "signature_invalid",
              token=with_claims(chatbot, permissions=["chatbot:training.write"]))

    integration = walk.client_token("acme-import")
    walk.step("acme's integration writes posts there", "POST", f"{ACME}/blog/posts", 200, "allowed", token=integration,
              body={"title": "imported"}, check=saw_identity(user_id="acme-import", tenant_id="acme"), note=show_identity)
    walk.step("and deletes none", "DELETE", f"{ACME}/blog/posts/1", 403, "permission_missing", token=integration)
    walk.step("nor writes any at globex", "POST", f"{GLOBEX}/blog/posts", 403, "tenant_mismatch", token=integration)
    walk.step("nor is it one of our services", "GET", EXPORT, 403, "realm_mismatch", token=integration)


def a_new_workspace(walk: Walk) -> None:
    walk.table.section("A workspace and its owner are created together, or not at all")
    nina: dict[str, Any] = {"id": "nina", "email": "nina@initech.example", "password": "nina-demo-password", "roles": ["owner"]}
    workspace = {"id": "initech", "name": "Initech", "services": {"blog": {"enabled": True}}}
    log_in = {"email": nina["email"], "password": nina["password"], "tenant": "initech", "device": "laptop"}

    def create(step: str, status: int, **owner: Any) -> None:
        walk.operator_step(step, "POST", "/v1/admin/tenants", status, body={**workspace, "owner": owner})

    walk.step("not from outside", "POST", "/v1/admin/tenants", 403, "route_not_found", body={**workspace, "owner": nina},
              token=walk.log_in("alice", "acme")["access_token"])
    create("without rights for its owner: refused", 400, **{**nina, "roles": []})
    create("for somebody who does not exist: refused", 400, id="nobody", roles=["owner"])
    create("with another's e-mail address: refused", 409, **{**nina, "email": "bob@acme.example"})
    walk.step("none of that left a nina behind", "POST", "/v1/login", 401, "public", body=log_in)
    create("nor a workspace: its name is still free", 201, **nina)
    create("now it is taken", 409, **{**nina, "id": "mallory", "email": "mallory@initech.example"})
    walk.step("... and there is no mallory", "POST", "/v1/login", 401, "public",
              body={**log_in, "email": "mallory@initech.example"})
    token = str(walk.step("nina logs in", "POST", "/v1/login", 200, "public", body=log_in).json().get("access_token"))
    walk.step("and owns it", "PUT", "/w/initech/roles/lead", 200, "allowed", token=token,
              body={"permissions": ["blog:posts.read"]}, check=saw_identity(user_id="nina", tenant_id="initech"))
    walk.step("and nothing else", "GET", f"{ACME}/members", 403, "tenant_mismatch", token=token)


def ending_tokens(walk: Walk) -> None:
    walk.table.section("Ending tokens before their time")
    gina = walk.log_in("gina", "globex")["access_token"]
    phone = walk.log_in("gina", "globex", device="phone")["access_token"]
    erin = walk.log_in("erin", "globex")["access_token"]
    chatbot = walk.client_token("chatbot")
    slots = f"{GLOBEX}/chatbot/slots"
    walk.step("gina logs out on her phone", "POST", "/v1/logout", 204, "allowed", token=phone)
    walk.step_until("that token is over", "GET", slots, 401, "token_revoked", token=phone, within=REVOKED_WITHIN)
    walk.step("her other one is not", "GET", slots, 200, "allowed", token=gina)
    # Tokens of the second in which they are revoked would stay in force.
    wait_until(lambda: time.time() >= claims_of(chatbot)["iat"] + 1, "the clock to move on", timeout=5)
    so_far = int(time.time())
    walk.operator_step("a service's token leaked: all so far", "POST", "/v1/admin/revocations", 201,
                       body={"type": "client", "id": "chatbot", "before": so_far})
    walk.step_until("are over", "GET", EXPORT, 401, "token_revoked", token=chatbot, within=REVOKED_WITHIN)
    walk.operator_step("globex stops paying: all tokens so far", "POST", "/v1/admin/revocations", 201,
                       body={"type": "tenant", "id": "globex", "before": so_far})
    walk.step_until("are over", "GET", slots, 401, "token_revoked", token=erin, within=REVOKED_WITHIN)
    acme = walk.log_in("alice", "acme")["access_token"]
    walk.step("acme goes on", "GET", f"{ACME}/blog/posts", 200, "allowed", token=acme)


def nothing_is_looked_up(walk: Walk) -> None:
    walk.table.section("The public key is enough: the identity service is down")
    owner = walk.log_in("alice", "acme")["access_token"]
    bob = walk.log_in("bob", "acme")["access_token"]
    walk.stack.stop_identity()
    walk.step("nobody can log in", "POST", "/v1/login", 503, "public", body=walk.credentials("alice", "acme"))
    walk.step("what is allowed is allowed", "DELETE", f"{ACME}/blog/posts/1", 200, "allowed", token=owner)
    walk.step("what is not is not", "DELETE", f"{ACME}/blog/posts/1", 403, "permission_missing", token=bob)
    walk.step("a forged token is no better", "DELETE", f"{ACME}/blog/posts/1", 401, "signature_invalid",
              token=with_claims(bob, permissions=["blog:posts.delete"]))
    walk.step("a public route", "GET", "/health", 200, "public", check=saw_no_identity)
    walk.stack.start_identity()
