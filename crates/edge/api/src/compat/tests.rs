use super::*;
use serde_json::json;

fn shape(route: &'static str, minor: u16) -> Shape {
    Shape { route, version: ApiVersion::v1(minor) }
}

fn up(route: &'static str, minor: u16, mut body: Value) -> Value {
    request_up(shape(route, minor), &mut body).unwrap();
    body
}

fn down(route: &'static str, minor: u16, mut body: Value) -> Value {
    response_down(shape(route, minor), &mut body);
    body
}

#[test]
fn the_newest_version_is_left_alone() {
    for route in [CREATE, CONTAINER, CONTAINERS, IMAGES, IMAGE, NETWORK, INFO, DISK_USAGE] {
        assert!(!changes_request(shape(route, 51)) && !changes_response(shape(route, 51)), "{route}");
    }
    // What the docker CLI 28 asks most is not touched either.
    assert!(!changes_request(shape(CREATE, 50)) && !changes_response(shape(CONTAINER, 50)));
    assert!(BOUNDARIES.windows(2).all(|pair| pair[0].minor < pair[1].minor));
}

#[test]
fn create_climbs_all_boundaries() {
    let old = json!({
        "Image": "bb", "MacAddress": "02:00:00:00:00:01",
        "HostConfig": { "AutoRemove": true, "ConsoleSize": [1, 2], "Mounts": [{ "Type": "bind", "ReadOnly": true }, { "Type": "bind", "BindOptions": {} }] }
    });
    let host = json!({
        "AutoRemove": false, "IpcMode": "shareable", "CgroupnsMode": "host",
        "Mounts": [
            { "Type": "bind", "ReadOnly": true, "BindOptions": { "ReadOnlyNonRecursive": true } },
            { "Type": "bind", "BindOptions": {} },
        ]
    });
    let endpoints = json!({ "EndpointsConfig": { "bridge": { "MacAddress": "02:00:00:00:00:01" } } });
    let new = json!({ "Image": "bb", "HostConfig": host, "NetworkingConfig": endpoints });
    assert_eq!(up(CREATE, 24, old.clone()), new);
    let middle = up(CREATE, 43, old);
    assert_eq!(middle["HostConfig"]["AutoRemove"], true);
    assert_eq!(middle["HostConfig"]["ConsoleSize"], json!([1, 2]));
    assert_eq!(up(CREATE, 43, json!({ "HostConfig": null })), json!({ "HostConfig": null }));
}

#[test]
fn a_mac_address_needs_a_network_of_its_own() {
    let mut body = json!({ "MacAddress": "02:00:00:00:00:01", "HostConfig": { "NetworkMode": "host" } });
    assert!(request_up(shape(CREATE, 41), &mut body).is_err());
    let named = json!({
        "MacAddress": "m", "HostConfig": { "NetworkMode": "n" },
        "NetworkingConfig": { "EndpointsConfig": { "n": null } }
    });
    assert_eq!(up(CREATE, 41, named)["NetworkingConfig"]["EndpointsConfig"]["n"]["MacAddress"], "m");
    let ignored = json!({ "NetworkingConfig": { "EndpointsConfig": { "n": { "MacAddress": "m" } } } });
    assert_eq!(up(CREATE, 41, ignored)["NetworkingConfig"]["EndpointsConfig"]["n"], json!({}));
}

#[test]
fn images_descend() {
    let rows = json!([{ "Id": "sha256:1", "Size": 5, "Containers": 2, "RepoTags": [], "RepoDigests": [] }]);
    let old = json!([{
        "Id": "sha256:1", "Size": 5, "Containers": -1, "RepoTags": ["<none>:<none>"],
        "RepoDigests": ["<none>@<none>"], "VirtualSize": 5
    }]);
    assert_eq!(down(IMAGES, 41, rows.clone()), old);
    assert_eq!(down(IMAGES, 50, rows.clone())[0]["Containers"], -1);
    assert_eq!(down(IMAGES, 51, rows.clone()), rows);
    let image = down(IMAGE, 41, json!({ "Size": 5, "Config": { "Cmd": ["sh"] } }));
    assert_eq!(
        (&image["VirtualSize"], &image["Author"], &image["Container"]),
        (&json!(5), &json!(""), &json!(""))
    );
    assert_eq!((&image["Config"]["Tty"], &image["Config"]["Hostname"]), (&json!(false), &json!("")));
    assert_eq!(down(DISK_USAGE, 41, json!({ "Images": [{ "Size": 5 }] }))["Images"][0]["VirtualSize"], 5);
}

#[test]
fn containers_descend() {
    let container = json!({
        "Id": "0123456789abcdef", "Config": { "Hostname": "h" },
        "NetworkSettings": { "Networks": {
            "bridge": { "Aliases": null, "GwPriority": 0, "DNSNames": null },
            "n": { "Aliases": ["web"], "GwPriority": 0, "DNSNames": ["web"] }
        } }
    });
    let old = down(CONTAINER, 41, container.clone());
    assert_eq!(old["NetworkSettings"]["Networks"]["n"], json!({ "Aliases": ["web", "0123456789ab", "h"] }));
    assert_eq!(old["NetworkSettings"]["Networks"]["bridge"], json!({ "Aliases": null }));
    assert_eq!(down(CONTAINER, 50, container.clone()), container);
}

#[test]
fn queries_climb() {
    let mut query = Query::parse("filter=bb");
    query_up(shape(IMAGES, 40), &mut query);
    assert_eq!(query.filters(&["reference"]).unwrap()["reference"], ["bb"]);
    let mut query = Query::parse("filters=%7B%22label%22%3A%5B%22a%22%5D%7D");
    query_up(shape(VOLUMES_PRUNE, 41), &mut query);
    assert_eq!(query.filters(&["label", "all"]).unwrap().len(), 2);
    let mut query = Query::default();
    query_up(shape(VOLUMES_PRUNE, 42), &mut query);
    query_up(shape(ATTACH_WEBSOCKET, 42), &mut query);
    assert_eq!(query, Query::default());
    query_up(shape(ATTACH_WEBSOCKET, 41), &mut query);
    assert!(["stdin", "stdout", "stderr"].iter().all(|stream| query.flag(stream)));
}

#[test]
fn networks_have_ipv6_for_old_clients_only_when_asked_for() {
    let asked = |minor, body| up(NETWORK_CREATE, minor, body)["EnableIPv6"].clone();
    assert_eq!(asked(47, json!({ "Name": "x" })), false);
    assert_eq!(asked(47, json!({ "Name": "x", "EnableIPv6": null })), false);
    assert_eq!(asked(47, json!({ "Name": "x", "EnableIPv6": true })), true);
    assert_eq!(asked(48, json!({ "Name": "x" })), Value::Null);
}
