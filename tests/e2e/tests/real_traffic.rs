//! Servers as people run them, talking by name over a user-defined network, by IPv4 and by IPv6.
//!
//! postgres and mariadb are asked where the registry has them (`make-images DIR … postgres mariadb` in tests/images adds
//! them, 300 MB and two minutes): `tests/images` leaves them out, and this test says that it did not ask them.
#![allow(clippy::unwrap_used)]

use hull_e2e::{World, eventually};

fn ipv6_of(world: &World, container: &str) -> String {
    let format = "{{(index .NetworkSettings.Networks \"shop\").GlobalIPv6Address}}";
    let address = world.docker(&["inspect", "-f", format, container]).ok();
    assert!(address.contains(':'), "{container} has no IPv6 address: {address}");
    address
}

/// What a program says in a container of its own on the network.
fn ask(world: &World, words: &[&str]) -> String {
    let mut all = vec!["run", "--rm", "--network", "shop"];
    all.extend(words);
    let output = world.docker(&all);
    format!("{}{}", output.stdout, output.stderr).trim().to_owned()
}

fn start(world: &World, name: &str, image: &str) {
    world.docker(&["run", "-d", "--name", name, "--network", "shop", image]).ok();
}

#[test]
fn nginx_and_redis_answer_by_name_and_by_both_families() {
    let world = World::start();
    world.docker(&["network", "create", "shop"]).ok();
    start(&world, "web", "nginx");
    start(&world, "cache", "redis");
    let (web, cache) = (ipv6_of(&world, "web"), ipv6_of(&world, "cache"));
    let program =
        "import sys,urllib.request as r; print(r.urlopen(sys.argv[1], timeout=5).read().decode()[:15])";
    for url in ["http://web/".to_owned(), format!("http://[{web}]/")] {
        eventually("nginx answers", 20, || {
            ask(&world, &["python", "python3", "-c", program, &url]).contains("<!DOCTYPE").then_some(())
        });
    }
    for host in ["cache", &cache] {
        eventually("redis answers", 20, || {
            (ask(&world, &["redis", "redis-cli", "-h", host, "incr", "asked"]).parse::<u32>().is_ok())
                .then_some(())
        });
    }
    // Both asked the same server.
    assert_eq!(ask(&world, &["redis", "redis-cli", "-h", "cache", "get", "asked"]), "2");
    world.docker(&["rm", "-f", "web", "cache"]).ok();
    world.docker(&["network", "rm", "shop"]).ok();
    world.stop();
}

#[test]
fn postgres_answers_by_name_and_by_both_families() {
    let world = World::start();
    if world.serves("postgres") {
        world.docker(&["network", "create", "shop"]).ok();
        start(&world, "db", "postgres");
        let address = ipv6_of(&world, "db");
        let query = |host: &str, text: &str| {
            ask(&world, &["postgres", "psql", "-h", host, "-U", "postgres", "-Atc", text])
        };
        eventually("postgres answers", 60, || (query("db", "select 6*7") == "42").then_some(()));
        let family = "select family(inet_client_addr())";
        assert_eq!(query(&address, family), "6");
        let ipv4 = world.docker(&[
            "inspect",
            "-f",
            "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
            "db",
        ]);
        assert_eq!(query(&ipv4.ok(), family), "4");
        query("db", "create table parts as select generate_series(1, 100000) as number");
        assert_eq!(query(&address, "select sum(number) from parts"), "5000050000");
        world.docker(&["rm", "-f", "-v", "db"]).ok();
        world.docker(&["network", "rm", "shop"]).ok();
    }
    world.stop();
}

#[test]
fn mariadb_answers_by_name() {
    let world = World::start();
    if world.serves("mariadb") {
        world.docker(&["network", "create", "shop"]).ok();
        start(&world, "sql", "mariadb");
        let users = "create user app identified by 'x'; create database shop; grant all on shop.* to app";
        eventually("mariadb is there", 60, || {
            (world.docker(&["exec", "-u", "root", "sql", "mariadb", "-e", users]).code == 0).then_some(())
        });
        let query = |text: &str| {
            ask(&world, &["mariadb", "mariadb", "-h", "sql", "-u", "app", "-px", "-Ne", text, "shop"])
        };
        assert_eq!(
            query(
                "create table t (n int); insert into t values (6), (7); select exp(sum(ln(n))) > 41 from t"
            ),
            "1"
        );
        world.docker(&["rm", "-f", "-v", "sql"]).ok();
        world.docker(&["network", "rm", "shop"]).ok();
    }
    world.stop();
}
