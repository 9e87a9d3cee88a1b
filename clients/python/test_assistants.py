import uuid

import pytest
from conftest import done, listed
from langgraph_sdk.errors import ConflictError, NotFoundError

pytestmark = pytest.mark.anyio


async def test_every_graph_has_an_assistant_of_itself(client):
    found = await done(client.assistants.search(graph_id="noop3", metadata={"created_by": "system"}))
    expected = uuid.uuid5(uuid.UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8"), "noop3")
    assert [one["assistant_id"] for one in found] == [str(expected)]
    assert (await done(client.assistants.get("noop3")))["graph_id"] == "noop3"


async def test_an_assistant_is_made_changed_and_deleted(client):
    made = await done(
        client.assistants.create("noop3", name="Mine", metadata={"team": "a"}, context={"k": 1})
    )
    assert (made["version"], made["name"], made["context"]) == (1, "Mine", {"k": 1})
    assert made["config"]["configurable"] == {"k": 1}
    with pytest.raises(ConflictError):
        await done(client.assistants.create("noop3", assistant_id=made["assistant_id"]))
    same = await done(
        client.assistants.create(
            "noop3", assistant_id=made["assistant_id"], if_exists="do_nothing", name="Other"
        )
    )
    assert same == made
    changed = await done(
        client.assistants.update(made["assistant_id"], metadata={"more": 2}, name="Still mine")
    )
    assert (changed["version"], changed["metadata"]) == (2, {"team": "a", "more": 2})
    versions = await done(client.assistants.get_versions(made["assistant_id"]))
    assert [one["version"] for one in versions] == [2, 1]
    back = await done(client.assistants.set_latest(made["assistant_id"], 1))
    assert (back["version"], back["name"], back["metadata"]) == (1, "Mine", {"team": "a"})
    next_one = await done(client.assistants.update(made["assistant_id"], name="Third"))
    assert next_one["version"] == 3
    await done(client.assistants.delete(made["assistant_id"]))
    with pytest.raises(NotFoundError):
        await done(client.assistants.get(made["assistant_id"]))


async def test_assistants_are_searched_and_counted(client):
    mark = str(uuid.uuid4())
    for number in range(3):
        metadata = {"mark": mark, "number": number}
        await done(client.assistants.create("echo", metadata=metadata, name=f"n{number}"))
    found = await done(client.assistants.search(metadata={"mark": mark}, limit=2))
    assert [one["name"] for one in found] == ["n2", "n1"]
    assert await done(client.assistants.count(metadata={"mark": mark})) == 3
    rest = await done(
        client.assistants.search(
            metadata={"mark": mark}, limit=5, offset=1, sort_by="name", sort_order="asc",
            select=["name"],
        )
    )
    assert rest == [{"name": "n1"}, {"name": "n2"}]
    everything = await done(client.assistants.search(name="n1", metadata={"mark": mark}))
    assert len(everything) == 1


async def test_a_graph_shows_its_drawing_and_its_schemas(client):
    drawing = await done(client.assistants.get_graph("noop3"))
    assert [node["id"] for node in drawing["nodes"]] == ["__start__", "a", "b", "c", "__end__"]
    assert {"source": "a", "target": "b"} in drawing["edges"]
    inside = await done(client.assistants.get_graph("nested", xray=True))
    assert any(":" in node["id"] for node in inside["nodes"])
    schemas = await done(client.assistants.get_schemas("noop3"))
    assert "log" in schemas["input_schema"]["properties"]
    assert "log" in schemas["state_schema"]["properties"]
    assert list(await done(client.assistants.get_subgraphs("nested"))) == ["gp_two"]
    deep = await done(client.assistants.get_subgraphs("nested", recurse=True))
    assert sorted(deep) == ["gp_two", "gp_two|p_two"]
    assert await listed(client.assistants.get_subgraphs("noop3")) == []
