//! The web as a browser without scripts sees it: TLS, coming in, levers, languages.

use serde_json::Value;
use tests::mx::{Behaviour, MxHost};
use tests::relay::eventually;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::world::{World, delivery, message, mx_ip, mx_port};

const SENDER: &str = "ana@institucion.example";
const ZONE: &str = "w.example MX 10 mx.w.example\nmx.w.example A 127.0.1.181";
/// A password.
pub const PASSWORD: &str = "cuatro palabras bien largas";

/// A browser: cookies that it keeps.
struct Browser {
    place: String,
    jar: std::path::PathBuf,
    trusted: Option<std::path::PathBuf>,
}

impl Browser {
    fn new(world: &World, tls: bool, name: &str) -> Self {
        let address = world.relay.address("admin");
        let scheme = if tls { "https" } else { "http" };
        let trusted = tls.then(|| world.folder.path().join("certificate.pem"));
        let jar = world.folder.path().join(format!("cookies-{name}"));
        Self { place: format!("{scheme}://{address}"), jar, trusted }
    }

    /// Status, headers and body.
    async fn ask(&self, path: &str, form: &[(&str, &str)]) -> (u16, String, String) {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "60", "--include"]);
        command.arg("--cookie").arg(&self.jar).arg("--cookie-jar").arg(&self.jar);
        command.args(["--header", "Accept-Language: es-PE,es;q=0.9"]);
        if let Some(trusted) = &self.trusted {
            command.arg("--cacert").arg(trusted);
        }
        for (name, value) in form {
            command.args(["--data-urlencode", &format!("{name}={value}")]);
        }
        let done = command.arg(format!("{}{path}", self.place)).output().await.unwrap();
        assert!(done.status.success(), "{path}: {}", String::from_utf8_lossy(&done.stderr));
        let out = String::from_utf8(done.stdout).unwrap();
        let (head, body) = out.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_lowercase(), body.to_owned())
    }

    async fn page(&self, path: &str) -> String {
        let (status, _, body) = self.ask(path, &[]).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn log_in(&self, name: &str, password: &str) -> u16 {
        self.ask("/login", &[("name", name), ("password", password)]).await.0
    }

    /// Fills in the form of a page that posts to `to`.
    async fn post(&self, page: &str, to: &str, form: &[(&str, &str)]) -> u16 {
        let key = key(&self.page(page).await);
        self.ask(to, &[&[("key", &*key)], form].concat()).await.0
    }
}

fn key(page: &str) -> String {
    let after = page.split("name=\"key\" value=\"").nth(1).unwrap();
    after.split('"').next().unwrap().to_owned()
}

/// Adds somebody on the machine.
pub async fn add_user(world: &World, name: &str, role: &str) -> Value {
    let mut child = Command::new(tests::program("tambo"))
        .args(["user", "add", name, "--role", role, "--json", "--config"])
        .arg(&world.config)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(format!("{PASSWORD}\n").as_bytes()).await.unwrap();
    drop(stdin);
    let out = child.wait_with_output().await.unwrap();
    assert!(out.status.success());
    serde_json::from_slice(&out.stdout).unwrap()
}

#[tokio::test]
async fn an_administrator_comes_in_over_tls_and_holds_a_queue() {
    let port = mx_port(181..183);
    let grey = Behaviour { greylist: true, ..Behaviour::default() };
    let _mx = MxHost::start(std::net::SocketAddr::new(mx_ip(181), port), grey);
    let more = format!("[delivery]\n{}", delivery(port).replace("[\"1s\"]", "[\"1h\"]"));
    let world = World::start_with_admin(ZONE, port, &more, "tls = true").await;
    let made = add_user(&world, "Rosa", "operator").await;
    assert_eq!((made["name"].as_str(), made["role"].as_str()), (Some("rosa"), Some("operator")));
    let browser = Browser::new(&world, true, "rosa");
    let (status, head, _) = browser.ask("/queue", &[]).await;
    assert!(status == 303 && head.contains("location: /login?to=%2fqueue"), "{head}");
    assert_eq!(browser.log_in("rosa", "no es esta la palabra").await, 401);
    assert_eq!(browser.log_in("rosa", PASSWORD).await, 303);
    let jar = std::fs::read_to_string(&browser.jar).unwrap();
    let line = jar.lines().find(|line| line.contains("__Host-tambo")).unwrap();
    assert!(line.starts_with("#HttpOnly_") && line.contains("TRUE"), "{line}");

    let id = world.send(SENDER, &["a@w.example"], &message("espera")).await;
    eventually("it is deferred", async || {
        browser
            .page(&format!("/messages/{id}"))
            .await
            .contains("Espera su próximo intento")
            .then_some(())
    })
    .await;
    let ask = browser.page("/queue/act?action=hold&domain=w.example").await;
    assert!(ask.contains("Afecta a 1 entregas."), "{ask}");
    let form = [("action", "hold"), ("domain", "w.example")];
    assert_eq!(browser.post("/queue", "/queue/act", &form).await, 400, "no reason");
    let form = [&form[..], &[("why", "la lista está mal")]].concat();
    assert_eq!(browser.post("/queue", "/queue/act", &form).await, 303);
    let page = browser.page(&format!("/messages/{id}")).await;
    assert!(page.contains("retenido por rosa: la lista está mal"), "{page}");
    assert!(page.contains("Hecho en 1 de 1 entregas."), "what was done is said once: {page}");
    assert!(!browser.page("/queue").await.contains("Hecho en"), "and no more");
    let (status, _, body) = browser.ask("/language/en?to=/queue", &[]).await;
    assert_eq!(status, 303, "{body}");
    assert!(
        browser.page("/queue").await.contains("Deliveries that wait")
            || browser.page("/queue").await.contains("Waiting")
    );

    let world = world.restart().await;
    let browser = Browser { place: Browser::new(&world, true, "x").place, ..browser };
    let form = [("action", "release"), ("domain", "w.example"), ("why", "corregida")];
    assert_eq!(browser.post("/queue", "/queue/act", &form).await, 303, "the session outlives it");
    let book = world.relay.ask(&["audit", "list"]).await;
    let told: Vec<(&str, &str)> = book
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["who"].as_str().unwrap(), row["what"].as_str().unwrap()))
        .collect();
    let orders = told.iter().filter(|it| **it == ("rosa", "POST /api/v1/queue/actions"));
    assert_eq!(orders.count(), 2, "{told:?}");
    let (done, _, _) = world.relay.run(&["user", "remove", "rosa"]).await;
    assert!(done);
    assert_eq!(browser.ask("/queue", &[]).await.0, 303, "she is gone");
}

#[tokio::test]
async fn sources_are_suspended_and_resumed_and_a_reader_only_looks() {
    let port = mx_port(181..183);
    let source = |number: u8| {
        format!(
            "[[source]]\nname = \"ip-0{number}\"\naddress = \"127.0.0.4{number}\"\nhelo = \"m0{number}.example\"\n"
        )
    };
    let pool =
        "[[pool]]\nname = \"bulk\"\nsources = [\"ip-01\", \"ip-02\"]\nstandby = [\"ip-03\"]\n";
    let more = format!("{}{}{}{pool}", source(1), source(2), source(3));
    let world = World::start(ZONE, port, &more).await;
    add_user(&world, "luis", "operator").await;
    add_user(&world, "eva", "reader").await;
    let (luis, eva) = (Browser::new(&world, false, "luis"), Browser::new(&world, false, "eva"));
    assert_eq!(
        (luis.log_in("luis", PASSWORD).await, eva.log_in("eva", PASSWORD).await),
        (303, 303)
    );
    assert!(luis.page("/").await.contains("Nada requiere su atención"));
    let place = "/sources/ip-01/act";
    let ask = luis.page(&format!("{place}?action=suspend")).await;
    assert!(ask.contains("Otras direcciones de ellos que pueden enviar ahora: 1."), "{ask}");
    let form = [("action", "suspend"), ("hours", "2"), ("why", "bloqueada")];
    assert_eq!(luis.post("/sources/ip-01", place, &form).await, 303);
    let row = world.relay.ask(&["sources", "list"]).await;
    assert_eq!(
        (&row[0]["state"], &row[0]["why"]),
        (&"suspended".into(), &"luis: bloqueada".into())
    );
    assert!(luis.page("/").await.contains("ip-01 (127.0.0.41) está en estado «suspendida»"));
    let page = eva.page("/sources/ip-01").await;
    assert!(page.contains("luis: bloqueada") && !page.contains("Reactivar"), "{page}");
    assert_eq!(eva.ask(&format!("{place}?action=resume"), &[]).await.0, 403);
    let form = [("action", "resume"), ("why", "x")];
    assert_eq!(eva.post("/account", place, &form).await, 403);
    assert_eq!(luis.post("/sources/ip-01", place, &form).await, 303);
    let dry = luis.page("/sources/ip-02/swap?force=1").await;
    assert!(dry.contains("todavía no se ha hecho nada") && dry.contains("ip-03"), "{dry}");
    assert_eq!(world.relay.ask(&["sources", "list"]).await[1]["state"], "active", "it was dry");
    let form = [("force", "1"), ("why", "cambio de prueba")];
    let key = key(&dry);
    let form = [&[("key", &*key)], &form[..]].concat();
    let (status, _, body) = luis.ask("/sources/ip-02/swap", &form).await;
    assert_eq!(status, 303, "{body}");
    let rows = world.relay.ask(&["sources", "list"]).await;
    assert_eq!(rows[2]["pools"][0], "bulk", "{rows}");
}

#[tokio::test]
async fn mail_is_moved_held_as_it_comes_and_downloaded() {
    let port = mx_port(181..183);
    let grey = Behaviour { greylist: true, ..Behaviour::default() };
    let mx = MxHost::start(std::net::SocketAddr::new(mx_ip(181), port), grey);
    let pools = "[[source]]\nname = \"ip-01\"\naddress = \"127.0.0.41\"\nhelo = \"m01.example\"\n\
         [[source]]\nname = \"ip-02\"\naddress = \"127.0.0.42\"\nhelo = \"m02.example\"\n\
         [[pool]]\nname = \"bulk\"\nsources = [\"ip-01\"]\n\
         [[pool]]\nname = \"other\"\nsources = [\"ip-02\"]\n";
    let delivery = delivery(port).replace("[\"1s\"]", "[\"1h\"]");
    let world = World::start(ZONE, port, &format!("[delivery]\n{delivery}{pools}")).await;
    add_user(&world, "ana", "administrator").await;
    let ana = Browser::new(&world, false, "ana");
    assert_eq!(ana.log_in("ana", PASSWORD).await, 303);
    let first = world.send(SENDER, &["a@w.example"], &message("primero")).await;
    let story = async |id: &str| ana.page(&format!("/messages/{id}")).await;
    eventually("it is deferred", async || {
        story(&first).await.contains("Espera su próximo intento").then_some(())
    })
    .await;

    // Held as it comes, too; asked for although it is a group.
    let ask = ana.page("/queue/act?action=hold&domain=w.example").await;
    assert!(ask.contains("Retener también lo que llegue después"), "{ask}");
    let form = [("action", "hold"), ("domain", "w.example"), ("also", "yes"), ("why", "revisión")];
    assert_eq!(ana.post("/queue", "/queue/act", &form).await, 303);
    let second = world.send(SENDER, &["b@w.example"], &message("segundo")).await;
    eventually("it is held", async || story(&second).await.contains("retenido por").then_some(()))
        .await;
    let page = ana.page("/queue").await;
    assert!(
        page.contains("Correo retenido también al llegar") && page.contains("revisión"),
        "{page}"
    );

    // As files, whole and with numbers.
    let (_, head, csv) = ana.ask("/queue?by=domain&file=csv", &[]).await;
    assert!(head.contains("attachment; filename=\"tambo-queue.csv\""), "{head}");
    assert!(csv.contains("w.example,2,2,"), "{csv}");
    let csv = ana.page("/queue/deliveries?domain=w.example&file=csv").await;
    assert_eq!((csv.lines().count(), csv.contains("a@w.example")), (3, true), "{csv}");
    let csv = ana.page("/messages?file=csv&t=0").await;
    assert!(csv.lines().count() == 3 && csv.contains("b@w.example"), "{csv}");

    // Released; what waits goes from another pool.
    let id = page.split("/queue/holds/release?id=").nth(1).unwrap().split('"').next().unwrap();
    let ask = ana.page(&format!("/queue/holds/release?id={id}")).await;
    assert!(ask.contains("Afecta a 2 entregas.") && ask.contains("Dominio: w.example"), "{ask}");
    assert_eq!(ana.post("/queue", "/queue/holds/release", &[("id", id)]).await, 303);
    assert!(!ana.page("/queue").await.contains("Correo retenido también al llegar"));
    // The second was not seen by the server yet, which puts each off once.
    eventually("the first has it", async || (mx.count() == 1).then_some(())).await;
    let third = world.send(SENDER, &["c@w.example"], &message("tercero")).await;
    eventually("it is deferred", async || {
        story(&third).await.contains("Espera su próximo intento").then_some(())
    })
    .await;
    let ask = ana.page("/queue/act?action=move&domain=w.example").await;
    assert!(ask.contains("<option value=\"other\">"), "{ask}");
    let form = [("action", "move"), ("domain", "w.example"), ("to", "other"), ("why", "prueba")];
    assert_eq!(ana.post("/queue", "/queue/act", &form).await, 303);
    // The server puts whom it does not know off, and it does not know this address yet.
    eventually("it goes from the other pool", async || {
        let told = world.relay.ask(&["trace", "c@w.example"]).await;
        let tried = told.as_array()?.iter().rfind(|it| it["type"] == "deferred")?.clone();
        (tried["source"] == "ip-02").then_some(())
    })
    .await;
}

#[tokio::test]
async fn tokens_are_made_shown_once_and_revoked() {
    let port = mx_port(181..183);
    let world = World::start(ZONE, port, "").await;
    add_user(&world, "ana", "administrator").await;
    let ana = Browser::new(&world, false, "ana");
    assert_eq!(ana.log_in("ana", PASSWORD).await, 303);
    let key = key(&ana.page("/settings/tokens").await);
    let form = [("key", &*key), ("name", "tablero"), ("scope", "read"), ("days", "90")];
    let (status, _, shown) = ana.ask("/settings/tokens/add", &form).await;
    assert_eq!(status, 200, "{shown}");
    let token = shown.split("id=\"token\">").nth(1).unwrap().split('<').next().unwrap();
    assert!(token.starts_with("tambo_"), "{shown}");
    let (address, header) =
        (world.relay.address("admin"), format!("Authorization: Bearer {token}"));
    let asked = async || {
        let out = Command::new("curl")
            .args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--header"])
            .args([&header, &format!("http://{address}/api/v1/sources")])
            .output()
            .await
            .unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    assert_eq!(asked().await, "200");
    let page = ana.page("/settings/tokens").await;
    assert!(page.contains("tablero") && !page.contains(token), "it is not shown again");
    let ask = ana.page("/settings/tokens/revoke?name=tablero").await;
    assert!(ask.contains("Último uso: hace"), "{ask}");
    let form = [("name", "tablero")];
    assert_eq!(ana.post("/settings/tokens", "/settings/tokens/revoke", &form).await, 303);
    assert_eq!(asked().await, "401");
    let book = world.relay.ask(&["audit", "list"]).await.to_string();
    assert!(book.contains("tablero") && !book.contains(token), "{book}");
}
