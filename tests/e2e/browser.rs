//! The web in a real browser: what an administrator does with it, and whether everybody can use it (axe-core, WCAG 2.2 AA
//! and contrast of AAA, in light and dark).
//!
//! With `TAMBO_SCREENSHOTS=FOLDER` the pages are photographed, for docs/screenshots.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;
use tests::browser::Browser;
use tests::mx::{Behaviour, MxHost};
use tests::relay::eventually;

use super::web::{PASSWORD, add_user};
use super::world::{World, mx_ip, mx_port};

const SENDER: &str = "notificaciones@institucion.example";
const BLOCKED: &str = "550 5.7.1 Unfortunately, messages from [203.0.113.13] weren't sent. Please contact your Internet \
     service provider since part of their network is on our block list (S3140).";

/// Destinations: name, and how the server behaves.
const DESTINATIONS: [(&str, u8); 4] = [
    ("correo.example", 184),
    ("lento.example", 185),
    ("bloquea.example", 186),
    ("municipio.example", 187),
];

fn zone() -> String {
    let mut zone = String::new();
    for (name, number) in DESTINATIONS {
        let _ = writeln!(zone, "{name} MX 10 mx.{name}\nmx.{name} A {}", mx_ip(number));
    }
    for number in 1..=6 {
        let _ = writeln!(zone, "m{number}.institucion.example A 203.0.113.1{number}");
        let _ =
            writeln!(zone, "1{number}.113.0.203.in-addr.arpa PTR m{number}.institucion.example");
    }
    zone.push_str("institucion.example TXT v=spf1 ip4:203.0.113.0/24 -all\n");
    zone
}

fn config(port: u16) -> String {
    let mut text = String::new();
    for number in 1..=6 {
        let warm = if number <= 2 { "warm = true\n" } else { "" };
        let _ = write!(
            text,
            "[[source]]\nname = \"ip-0{number}\"\naddress = \"127.0.0.5{number}\"\npublic = \"203.0.113.1{number}\"\n\
             helo = \"m{number}.institucion.example\"\n{warm}"
        );
    }
    text.push_str(
        "[[pool]]\nname = \"boletines\"\nsources = [\"ip-01\", \"ip-02\", \"ip-03\", \"ip-04\"]\nstandby = [\"ip-05\", \"ip-06\"]\nwarm_up = true\nrotation = \"round-robin\"\n",
    );
    for name in ["correo", "lento", "bloquea"] {
        let _ = write!(
            text,
            "[[provider]]\nname = \"{name}\"\nmx = [\"*.{name}.example\"]\n[provider.limits]\nconnections_total = 10\n"
        );
    }
    let _ = write!(
        text,
        "[delivery]\npool = \"boletines\"\nport = {port}\nretry = [\"1h\"]\nallow_destinations = [\"127.0.1.0/24\"]\nexpire_after = \"2d\"\n"
    );
    text
}

fn servers(port: u16) -> Vec<MxHost> {
    let ok = Behaviour::default;
    let behaviours = [
        Behaviour { refuse: Some("noexiste".to_owned()), ..ok() },
        Behaviour { greylist: true, ..ok() },
        Behaviour { blocked: vec![("127.0.0.53".parse().unwrap(), BLOCKED)], ..ok() },
        ok(),
    ];
    let hosts = DESTINATIONS.iter().zip(behaviours).map(|((_, number), behaviour)| {
        MxHost::start(SocketAddr::new(mx_ip(*number), port), behaviour)
    });
    hosts.collect()
}

/// Sends what an institution sends in a moment.
async fn traffic(world: &World, rounds: usize) {
    let mut client = world.client().await;
    for round in 0..rounds {
        let names = ["maria.quispe", "jose.mamani", "noexiste.perez", "rosa.flores", "luis.huaman"];
        for (number, (domain, _)) in DESTINATIONS.iter().enumerate() {
            let name = names[(round + number) % names.len()];
            let tag = if number % 2 == 0 { "boletin-noviembre" } else { "citas" };
            let data = format!(
                "From: <{SENDER}>\r\nX-Tambo-Tag: {tag}\r\nMessage-ID: <{round}.{number}@institucion.example>\r\nSubject: Aviso\r\n\r\nHola.\r\n"
            );
            let to = format!("{name}{round}@{domain}");
            client.deliver(SENDER, &[&to], data.as_bytes()).await.unwrap();
        }
    }
    client.quit().await.unwrap();
}

async fn log_in(browser: &Browser, place: &str) {
    browser.go(&format!("{place}/login")).await;
    browser.fill("#name", "ana").await;
    browser.fill("#password", PASSWORD).await;
    browser.click("main button").await;
    browser.shows("ana").await;
}

/// The code that the telephone shows for a secret, so many steps of 30 seconds from now (RFC 6238).
fn code(secret: &str, steps: u64) -> String {
    let python = "import base64, hmac, struct, sys, time\n\
        text = sys.argv[1].replace(' ', '')\n\
        key = base64.b32decode(text + '=' * (-len(text) % 8))\n\
        step = int(time.time()) // 30 + int(sys.argv[2])\n\
        mac = hmac.new(key, struct.pack('>Q', step), 'sha1').digest()\n\
        at = mac[-1] & 15\n\
        print('%06d' % ((struct.unpack('>I', mac[at:at + 4])[0] & 0x7fffffff) % 1000000))";
    let out = std::process::Command::new("python3")
        .args(["-c", python, secret, &steps.to_string()])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

fn axe() -> String {
    let home = std::env::var("HOME").unwrap();
    let folder = std::env::var("TAMBO_AXE").unwrap_or_else(|_| format!("{home}/.cache/tambo/npm"));
    let path = format!("{folder}/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{path}: {error}: run scripts/packages test"))
}

/// What axe-core finds wrong with the page: nothing, or a sentence for each.
async fn flaws(browser: &Browser, axe: &str) -> Vec<String> {
    browser.run(axe).await;
    let found = browser
        .run_later(
            "const done = arguments[arguments.length - 1]; axe.run(document, { runOnly: { type: 'tag', values: \
             ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] }, rules: { 'color-contrast-enhanced': { enabled: true } } }) \
             .then(r => done(r.violations), e => done([{ id: String(e), nodes: [] }]))",
        )
        .await;
    let violations = found.as_array().unwrap_or_else(|| panic!("{found}"));
    let told = |it: &Value| {
        let nodes = it["nodes"].as_array().unwrap().iter().take(3);
        let nodes: Vec<String> = nodes
            .map(|node| node["html"].to_string() + &node["any"][0]["message"].to_string())
            .collect();
        format!("{}: {}", it["id"], nodes.join(" | "))
    };
    violations.iter().map(told).collect()
}

/// A page in both widths and both lights; what is wrong with it.
async fn looked_at(
    browser: &Browser,
    place: &str,
    page: &str,
    name: &str,
    axe: &str,
) -> Vec<String> {
    let folder = std::env::var_os("TAMBO_SCREENSHOTS").map(PathBuf::from);
    let mut wrong = Vec::new();
    for (width, dark) in [(1280, false), (1280, true), (360, false), (360, true)] {
        browser.look(width, 800, dark).await;
        browser.go(&format!("{place}{page}")).await;
        let wide = browser.run("return document.documentElement.scrollWidth").await;
        if wide.as_u64().is_none_or(|wide| wide > u64::from(width)) {
            wrong.push(format!("{page} is {wide} wide at {width}"));
        }
        if let Some(folder) = &folder {
            let light = if dark { "dark" } else { "light" };
            let file = folder.join(format!("{name}-{width}-{light}.png"));
            browser.picture(&file, width, if width < 500 { 2_400 } else { 1_800 }).await;
        }
        wrong.extend(
            flaws(browser, axe)
                .await
                .iter()
                .map(|it| format!("{page} at {width}, dark {dark}: {it}")),
        );
    }
    browser.look(1280, 800, false).await;
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_works_with_the_web() {
    let port = mx_port(184..188);
    let servers = servers(port);
    let world = World::start(&zone(), port, &config(port)).await;
    add_user(&world, "ana", "administrator").await;
    let place = format!("http://{}", world.relay.address("admin"));
    let browser = Browser::start("es-PE,es").await;
    let axe = axe();
    let mut wrong = looked_at(&browser, &place, "/login", "ingresar", &axe).await;
    log_in(&browser, &place).await;
    browser.shows("Nada requiere su atención").await;

    sees_the_rate_move(&browser, &world).await;
    wrong.extend(finds_a_message(&browser, &place, &axe).await);
    holds_and_releases(&browser, &place).await;
    wrong.extend(swaps_a_source(&browser, &place, &axe).await);
    for (page, name) in [
        ("/", "ahora"),
        ("/sources", "direcciones"),
        ("/sources/ip-03", "direccion"),
        ("/sources/ip-01/act?action=suspend", "suspender"),
        ("/queue", "cola"),
        ("/queue/deliveries?domain=lento.example", "entregas"),
        ("/queue/act?action=bounce&domain=lento.example", "rebotar"),
        ("/queue/act?action=hold&domain=lento.example", "retener"),
        ("/queue/act?action=move&domain=lento.example", "mover"),
        ("/messages", "mensajes"),
        ("/explain?recipient=ana%40correo.example", "por-donde"),
        ("/bounces", "rebotes"),
        ("/suppression", "supresion"),
        ("/providers", "proveedores"),
        ("/reports", "informes"),
        ("/settings", "configuracion"),
        ("/settings/accounts", "cuentas"),
        ("/settings/users", "usuarios"),
        ("/settings/tokens", "claves"),
        ("/settings/audit", "auditoria"),
        ("/account", "cuenta"),
    ] {
        wrong.extend(looked_at(&browser, &place, page, name, &axe).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    downloads(&browser, &place).await;

    // In English at a click, and back.
    browser.go(&format!("{place}/queue")).await;
    browser.click("a[hreflang=en]").await;
    browser.shows("By destination").await;
    browser.click("a[hreflang=es]").await;
    browser.shows("Por destino").await;

    comes_in_with_a_second_factor(&browser, &place).await;
    // Useful with scripts off.
    browser.scripts(false).await;
    browser.go(&format!("{place}/")).await;
    browser.scripts(true).await;
    browser.shows("entregas en cola").await;
    browser.close().await;
    drop(servers);
}

async fn sees_the_rate_move(browser: &Browser, world: &World) {
    // The rate moves while mail flows, without a reload.
    browser.run("window.same = true").await;
    traffic(world, 12).await;
    eventually("the rate moves", async || {
        let rate =
            browser.run("return document.querySelector('[data-live=delivered]').textContent").await;
        (rate.as_str()? != "0").then_some(())
    })
    .await;
    assert_eq!(browser.run("return window.same").await, true, "the page moved by itself");
}

async fn finds_a_message(browser: &Browser, place: &str, axe: &str) -> Vec<String> {
    // A message is found, and why it waits.
    browser.click("nav a[href='/messages']").await;
    browser.fill("#search-q", "maria.quispe4@lento.example").await;
    browser.click("main form button").await;
    browser.click("tbody th a").await;
    browser.shows("Por qué espera").await;
    browser.shows("Espera su próximo intento").await;
    let story = browser.place().await;
    looked_at(browser, place, story.strip_prefix(place).unwrap(), "mensaje", axe).await
}

async fn holds_and_releases(browser: &Browser, place: &str) {
    // A queue is held and released.
    for (lever, state) in [("hold", "Retenid"), ("release", "en espera")] {
        browser.go(&format!("{place}/queue?by=domain")).await;
        browser.click(&format!("a[href='/queue/act?action={lever}&domain=lento.example']")).await;
        browser.shows("Afecta a ").await;
        browser.fill("#why", "revisión de la lista").await;
        browser.click("main form button").await;
        browser.shows("Hecho en ").await;
        if lever == "hold" {
            browser.shows("revisión de la lista").await;
        } else {
            assert!(!browser.text().await.contains("retenida\n"), "{state}");
        }
    }
}

/// The report of the day as a workbook, a table as text.
async fn downloads(browser: &Browser, place: &str) {
    browser.go(&format!("{place}/reports")).await;
    browser.click("main a[href*='format=xlsx']").await;
    let report = browser.downloaded("tambo-20", ".xlsx").await;
    assert_eq!(&report[..2], b"PK", "a workbook");
    browser.go(&format!("{place}/queue?by=domain")).await;
    browser.click("#t0 .downloads a").await;
    let csv = String::from_utf8(browser.downloaded("tambo-queue", ".csv").await).unwrap();
    assert!(csv.contains("lento.example,"), "{csv}");
}

async fn swaps_a_source(browser: &Browser, place: &str, axe: &str) -> Vec<String> {
    // A source is swapped, after the dry run.
    browser.go(&format!("{place}/sources/ip-03/swap")).await;
    let wrong = looked_at(browser, place, "/sources/ip-03/swap?force=1", "cambio", axe).await;
    browser.shows("todavía no se ha hecho nada").await;
    browser.fill("form[method=post][action$=swap] #why", "bloqueada por un destino").await;
    browser.click("form[method=post][action$=swap] button").await;
    browser.shows("ip-03 salió y entró").await;
    browser.go(&format!("{place}/sources/ip-04/act?action=suspend")).await;
    browser.fill("#why", "mantenimiento").await;
    browser.click("main form button").await;
    browser.shows("ip-04 está suspendida").await;
    wrong
}

async fn comes_in_with_a_second_factor(browser: &Browser, place: &str) {
    browser.go(&format!("{place}/account")).await;
    browser.click("form[action='/account/second-factor'] button").await;
    browser.shows("Lea esta imagen").await;
    let secret = browser.run("return document.getElementById('secret').textContent").await;
    let secret = secret.as_str().unwrap().to_owned();
    browser.fill("#code", &code(&secret, 0)).await;
    browser.click("form[action$=confirm] button").await;
    browser.shows("Sus códigos de respaldo").await;
    browser.click("form[action='/logout'] button").await;
    browser.shows("Contraseña").await;
    browser.fill("#name", "ana").await;
    browser.fill("#password", PASSWORD).await;
    browser.click("main button").await;
    browser.shows("Código de verificación").await;
    browser.fill("#code", &code(&secret, 1)).await;
    browser.click("main button").await;
    browser.shows("Requiere atención").await;
}
