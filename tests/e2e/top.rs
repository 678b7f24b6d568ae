//! `tambo top`, as a script and as somebody at a terminal sees it.

use std::net::SocketAddr;
use std::process::Command;

use tests::mx::{Behaviour, MxHost};
use tests::program;
use tests::relay::eventually;

use super::world::{World, delivery, message, mx_ip, mx_port};

const ZONE: &str = "t.example MX 10 mx.t.example\nmx.t.example A 127.0.1.193\n\
                    down.example MX 10 mx.down.example\nmx.down.example A 127.0.1.194";
const SENDER: &str = "ana@institucion.example";

/// Runs the command in a terminal of 80×24, has it ended when it has drawn something, and prints how it ended and what
/// it wrote.
const TERMINAL: &str = "import fcntl, os, pty, select, signal, struct, sys, termios\n\
    how = sys.argv[1]\n\
    child, end = pty.fork()\n\
    if child == 0:\n    os.execv(sys.argv[2], sys.argv[2:])\n\
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))\n\
    out, told = b'', False\n\
    while True:\n    \
        ready, _, _ = select.select([end], [], [], 30)\n    \
        if not ready: os.kill(child, signal.SIGKILL); break\n    \
        try: more = os.read(end, 65536)\n    \
        except OSError: break\n    \
        if not more: break\n    \
        out += more\n    \
        if not told and b'DESTINATION' in out:\n        \
            told = True\n        \
            os.write(end, b'q') if how == 'q' else os.kill(child, signal.SIGTERM)\n\
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n\
    sys.stdout.flush()\n\
    sys.stdout.buffer.write(out)";

#[tokio::test]
async fn the_relay_is_seen_at_a_glance() {
    let port = mx_port(193..195);
    let mx = MxHost::start(SocketAddr::new(mx_ip(193), port), Behaviour::default());
    let more = format!("[delivery]\n{}", delivery(port));
    let world = World::start(ZONE, port, &more).await;
    for number in 0..5 {
        world.send(SENDER, &[&format!("u{number}@t.example")], &message("top")).await;
    }
    world.send(SENDER, &["a@down.example", "b@down.example"], &message("top")).await;
    let id = world.send(SENDER, &["c@down.example"], &message("held")).await;
    let (held, _, why) = world.relay.run(&["queue", "hold", &id]).await;
    assert!(held, "{why}");
    let text = eventually("all of it is seen", async || {
        let (done, text, why) = world.relay.run(&["top", "--once"]).await;
        assert!(done, "{why}");
        let all = text.contains("3 recipients in 2 deliveries, 1 held") && text.contains("other");
        all.then_some(text)
    })
    .await;
    for wanted in ["relay.institucion.example", "held deliveries: 1", "DESTINATION", "SOURCE"] {
        assert!(text.contains(wanted), "{wanted} in\n{text}");
    }
    println!("{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let seen = world.relay.ask(&["top"]).await;
    assert_eq!(seen["queue"]["all"]["held"], 1);
    for how in ["q", "SIGTERM"] {
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-c", TERMINAL, how]).arg(program("tambo"));
        let done =
            command.args(["top", "--config"]).arg(&world.config).env("TERM", "xterm").output();
        let out = String::from_utf8(done.unwrap().stdout).unwrap();
        let (code, drawn) = out.split_once('\n').unwrap();
        assert_eq!(code, "0", "{how}: {drawn}");
        // The other screen was entered, and left.
        let (entered, left) = (drawn.find("\x1b[?1049h"), drawn.rfind("\x1b[?1049l"));
        assert!(entered.is_some() && left > entered, "{how}: {drawn:?}");
        assert!(drawn.contains("q quits"), "{drawn:?}");
    }
    drop(mx);
}
