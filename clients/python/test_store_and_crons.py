import uuid

import pytest
from conftest import done
from langgraph_sdk.errors import NotFoundError

pytestmark = pytest.mark.anyio


async def test_items_are_kept_searched_and_deleted(client):
    space = ["tests", str(uuid.uuid4())]
    for number in range(3):
        await done(client.store.put_item([*space, "a"], f"k{number}", {"n": number, "even": number % 2 == 0}))
    item = await done(client.store.get_item([*space, "a"], "k1"))
    assert (item["value"], item["namespace"]) == ({"n": 1, "even": False}, [*space, "a"])
    found = await done(client.store.search_items(space, filter={"n": {"$gte": 1}}))
    assert sorted(one["key"] for one in found["items"]) == ["k1", "k2"]
    found = await done(client.store.search_items(space, filter={"even": True}, limit=1))
    assert len(found["items"]) == 1
    spaces = await done(client.store.list_namespaces(prefix=space))
    assert spaces["namespaces"] == [[*space, "a"]]
    await done(client.store.delete_item([*space, "a"], "k1"))
    assert await done(client.store.get_item([*space, "a"], "k1")) is None


async def test_a_cron_is_made_found_and_deleted(client):
    assistant = await done(client.assistants.create("noop3"))
    cron = await done(
        client.crons.create(
            assistant["assistant_id"], schedule="0 0 1 1 *", input={"log": []}, metadata={"a": 1}
        )
    )
    found = await done(client.crons.search(assistant_id=assistant["assistant_id"]))
    assert [one["cron_id"] for one in found] == [cron["cron_id"]]
    assert found[0]["next_run_date"].endswith("-01-01T00:00:00+00:00")
    assert await done(client.crons.count(assistant_id=assistant["assistant_id"])) == 1
    thread = await done(client.threads.create())
    on_thread = await done(
        client.crons.create_for_thread(
            thread["thread_id"], assistant["assistant_id"], schedule="*/5 * * * *"
        )
    )
    assert on_thread["thread_id"] == thread["thread_id"]
    for one in (cron, on_thread):
        await done(client.crons.delete(one["cron_id"]))
    with pytest.raises(NotFoundError):
        await done(client.crons.delete(cron["cron_id"]))
