//! People come in, and others do not.

use super::*;
use crate::access::tests::access;

const GOOD: &str = "cuatro palabras bien largas";

fn here() -> IpAddr {
    "192.0.2.7".parse().unwrap()
}

async fn add(access: &Access, name: &str, role: Role) {
    let request = UserRequest { name: name.to_owned(), role, password: GOOD.to_owned() };
    access.add_user(request, "test").await.unwrap();
}

async fn enter(access: &Access, password: &str) -> Result<Entered, Outside> {
    access.log_in("ana", password.to_owned(), here(), "Firefox").await
}

/// The code of the application at this moment, `steps` later.
fn code(access: &Access, steps: u64) -> String {
    let secret = locked(&access.people.shown).get("ana").cloned();
    let of = |user: &UserRecord| user.second.as_ref().map(|it| it.secret.clone());
    let secret = secret.or_else(|| locked(&access.people.users).get("ana").and_then(of)).unwrap();
    let step = access.clock.now().as_millis() / 30_000 + steps;
    let numbers = (0..1_000_000).map(|number| format!("{number:06}"));
    let mut right = numbers.filter(|code| {
        second::step(&secret, code, Timestamp::from_millis(step * 30_000), None) == Some(step)
    });
    right.next().unwrap()
}

fn reopened(access: &Access) -> (Access, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let queue = Arc::clone(&access.queue);
    (Access::open(queue, Arc::clone(&access.clock), folder.path()).unwrap(), folder)
}

#[tokio::test]
async fn who_has_the_password_comes_in_and_the_session_outlives_a_restart() {
    let (access, _folder) = access();
    add(&access, "Ana", Role::Operator).await;
    assert_eq!(enter(&access, "otra cosa muy larga").await, Err(Outside::Wrong));
    let nobody = access.log_in("eva", GOOD.to_owned(), here(), "").await;
    assert_eq!(nobody, Err(Outside::Wrong));
    let Ok(Entered::In(text)) = enter(&access, GOOD).await else { panic!("she is not in") };
    let (again, _other) = reopened(&access);
    let person = again.person(&text, here(), true).await.unwrap();
    assert_eq!((&*person.caller.name, person.role), ("ana", Role::Operator));
    assert_eq!(person.caller.from, "192.0.2.7");
    assert!(again.person(&text[1..], here(), true).await.is_none());
    let sessions = again.sessions();
    assert_eq!((sessions.len(), &*sessions[0].agent), (1, "Firefox"));

    again.set_role("ana", Role::Reader).await.unwrap();
    assert_eq!(again.person(&text, here(), true).await.unwrap().role, Role::Reader);
    let short = again.set_password("ana", "corta".to_owned(), None).await;
    assert_eq!(short.unwrap_err(), UserError::Short);
    again.set_password("ana", "otras palabras que nadie sabe".to_owned(), None).await.unwrap();
    assert!(again.person(&text, here(), true).await.is_none(), "the password ends sessions");
    assert_eq!(enter(&again, GOOD).await, Err(Outside::Wrong));
    let Ok(Entered::In(text)) = enter(&again, "otras palabras que nadie sabe").await else {
        panic!("she is not in")
    };
    again.remove_user("ana").await.unwrap();
    assert!(again.person(&text, here(), true).await.is_none(), "she is gone");
    assert_eq!(again.remove_user("ana").await.unwrap_err(), UserError::NoSuchUser);
    let (last, _third) = reopened(&access);
    assert!(last.users().is_empty() && last.sessions().is_empty());
}

#[tokio::test]
async fn half_a_session_is_good_for_the_code_and_nothing_else() {
    let (access, _folder) = access();
    add(&access, "ana", Role::Administrator).await;
    assert!(access.confirm_second_factor("ana", "123456").await.is_err(), "none is shown");
    let (address, typed) = access.show_second_factor("ana", "relay").unwrap();
    assert!(address.contains(&typed));
    assert_eq!(access.show_second_factor("ana", "relay").unwrap().1, typed, "a reload");
    let now = code(&access, 0);
    let wrong = if now == "000000" { "000001" } else { "000000" };
    assert_eq!(access.confirm_second_factor("ana", wrong).await, Err(UserError::Code));
    let paper = access.confirm_second_factor("ana", &now).await.unwrap();
    assert_eq!(paper.len(), second::PAPER_CODES);

    let half = async |access: &Access| match enter(access, GOOD).await {
        Ok(Entered::Half(text)) => text,
        other => panic!("{other:?}"),
    };
    let first = half(&access).await;
    assert!(access.person(&first, here(), true).await.is_none(), "the code is still to come");
    let try_code = async |half: &str, code: &str| access.enter_code(half, code, here(), "").await;
    assert_eq!(try_code(&first, wrong).await, Err(Outside::Wrong));
    assert_eq!(try_code(&first, &now).await, Err(Outside::Wrong), "it was used");
    let text = try_code(&first, &code(&access, 1)).await.unwrap();
    assert_ne!(text, first);
    assert!(access.person(&text, here(), true).await.unwrap().has_second_factor);
    assert_eq!(try_code(&first, &paper[0]).await, Err(Outside::Over), "the half is gone");
    assert_eq!(try_code(&text, &paper[0]).await, Err(Outside::Over), "a whole one is no half");

    let second = half(&access).await;
    try_code(&second, &paper[3].to_uppercase()).await.unwrap();
    let (again, _other) = reopened(&access);
    let third = half(&again).await;
    let spent = again.enter_code(&third, &paper[3], here(), "").await;
    assert_eq!(spent, Err(Outside::Wrong), "it served once, also after a restart");
    again.drop_second_factor("ana").await.unwrap();
    assert!(matches!(enter(&again, GOOD).await, Ok(Entered::In(_))));
}

#[tokio::test]
async fn who_guesses_waits_and_who_is_known_elsewhere_does_not() {
    let (access, _folder) = access();
    add(&access, "ana", Role::Reader).await;
    assert!(matches!(enter(&access, GOOD).await, Ok(Entered::In(_))));
    let there: IpAddr = "198.51.100.9".parse().unwrap();
    let mut refused = 0;
    for _ in 0..8 {
        let tried = access.log_in("ana", "no es la palabra".to_owned(), there, "").await;
        refused += u32::from(matches!(tried, Err(Outside::TooOften(_))));
    }
    assert_eq!(refused, 3);
    let tried = access.log_in("ana", GOOD.to_owned(), there, "").await;
    assert!(matches!(tried, Err(Outside::TooOften(_))), "not even the right one");
    assert!(matches!(enter(&access, GOOD).await, Ok(Entered::In(_))));
}
