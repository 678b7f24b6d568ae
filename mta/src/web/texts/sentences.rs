//! What the relay itself says, in Spanish: sentences of the queue, of egress and of the API, which are written in
//! English where they are made, with `{}` where they hold something. What is put in can be such a sentence, too.
//!
//! The tests see that each stands in the sources word for word, so that a sentence which is written anew there cannot
//! lose its Spanish here without anybody noticing.

use std::sync::LazyLock;

/// English as the sources have it, and Spanish; both have the same `{}` in the same order.
const SENTENCES: &[(&str, &str)] = &[
    // What keeps mail for a destination.
    ("the source could not be used and rests", "la dirección no se pudo usar y descansa"),
    ("the rate of the source is used", "la dirección ya envió todo lo que su ritmo permite"),
    (
        "the rate of all sources together is used",
        "las direcciones ya enviaron, entre todas, lo que el ritmo permite",
    ),
    ("connections are opened one after another", "las conexiones se abren una después de otra"),
    ("the server asked the source for less", "el servidor pidió menos a esta dirección"),
    (
        "the server refused the source, which is suspended there",
        "el servidor rechazó la dirección, que quedó suspendida allí",
    ),
    (
        "the source comes back after a suspension, by single messages",
        "la dirección vuelve de una suspensión, mensaje por mensaje",
    ),
    (
        "the cap of the source is spread evenly over the day",
        "el tope de la dirección se reparte a lo largo del día",
    ),
    (
        "the source warms up, and its cap of {} recipients is used for today",
        "la dirección se está calentando y ya usó su tope de hoy, de {} destinatarios",
    ),
    (
        "the {} recipients that one source may send there in a day are used",
        "ya se usaron los {} destinatarios que una dirección puede enviar allí en un día",
    ),
    (
        "the {} recipients that all sources may send there in a day are used",
        "ya se usaron los {} destinatarios que todas las direcciones pueden enviar allí en un día",
    ),
    ("the sending window of the pool is closed", "está cerrado el horario de envío del grupo"),
    ("the source could not be used a moment ago", "la dirección no se pudo usar hace un momento"),
    ("the server refused the source", "el servidor rechazó la dirección"),
    ("the source comes back after a suspension", "la dirección vuelve de una suspensión"),
    (
        "the cap of the source is spread over the day",
        "el tope de la dirección se reparte en el día",
    ),
    (
        "the source warms up, and its cap of today is used",
        "la dirección se está calentando y ya usó su tope de hoy",
    ),
    (
        "what one source may send in a day is used",
        "ya se usó lo que una dirección puede enviar en un día",
    ),
    (
        "what all sources may send in a day is used",
        "ya se usó lo que todas las direcciones pueden enviar en un día",
    ),
    ("{}; {}", "{}; {}"),
    ("{}; until {}", "{}; hasta {}"),
    ("until {}", "hasta {}"),
    ("until it is resumed", "hasta que alguien la reactive"),
    ("it waits: {}", "espera: {}"),
    (
        "it waits: others stand before it, and the destination is sent only so many at a time",
        "espera: otros están antes, y al destino solo se le envían tantos a la vez",
    ),
    (
        "it waits: mail of its sender or campaign to this destination is halted (rule {})",
        "espera: el correo de su remitente o campaña a este destino está detenido (regla {})",
    ),
    // Why a day of warm-up did not count.
    ("too little was accepted for the day to count", "se aceptó muy poco para que el día cuente"),
    (
        "too many deferrals that blame the source",
        "demasiados aplazamientos que culpan a la dirección",
    ),
    ("too many recipients that do not exist", "demasiados destinatarios que no existen"),
    ("the receiver asked for less", "el receptor pidió menos"),
    ("the receiver thinks ill of the source", "el receptor tiene mala opinión de la dirección"),
    ("the clock was set back", "se atrasó el reloj"),
    // Where mail would go, and what stands in its way.
    ("It would bounce", "Rebotaría"),
    ("It would wait", "Esperaría"),
    ("It would bounce: {}", "Rebotaría: {}"),
    ("It would wait: {}", "Esperaría: {}"),
    ("It would wait: the pool has no sources", "Esperaría: el grupo no tiene direcciones"),
    (
        "It would wait: no source of the pool may go now ({})",
        "Esperaría: ninguna dirección del grupo puede enviar ahora ({})",
    ),
    ("It could not be delivered: {}", "No se podría entregar: {}"),
    ("It would go now, from {} to {}", "Saldría ahora, desde {} hacia {}"),
    ("{} is on the suppression list since {}: {}", "{} está en la lista de supresión desde {}: {}"),
    ("the address", "la dirección"),
    ("the domain", "el dominio"),
    ("It would not be sent: {}", "No se enviaría: {}"),
    ("It would be held by {}: {}{}", "Lo retendría {}: {}{}"),
    (", until {}", ", hasta {}"),
    ("tambo queue release --standing {}", "tambo queue release --standing {}"),
    ("tambo suppression remove {}", "tambo suppression remove {}"),
    ("no host can be used", "ningún servidor sirve"),
    (
        "failed a moment ago: tried after the others",
        "falló hace un momento: se intenta después de los otros",
    ),
    ("this machine does not have its address", "este servidor no tiene esa dirección"),
    ("it has its {} connections to the site", "ya tiene sus {} conexiones al destino"),
    (
        "the site has its {} connections of all sources",
        "el destino ya tiene sus {} conexiones de todas las direcciones",
    ),
    (
        "the relay has its {} connections (delivery.connections)",
        "el servicio ya tiene sus {} conexiones (delivery.connections)",
    ),
    ("it is {}", "está en estado {}"),
    (
        "the site refused one more connection; the next is tried at {}",
        "el destino rechazó una conexión más; la siguiente se intenta a las {}",
    ),
    (
        "the site could not be reached ({}); it is asked again at {}",
        "no se pudo llegar al destino ({}); se vuelve a intentar a las {}",
    ),
    // What one delivery waits for.
    (
        "its turn at {}: {} deliveries stand in line there, and it goes from {}",
        "su turno en {}: allí hay {} entregas en cola, y saldrá desde {}",
    ),
    ("it is read from disk and goes in a moment", "se está leyendo del disco y sale en un momento"),
    ("a limit, until {}: {}", "un límite, hasta {}: {}"),
    ("its time to be sent, {}", "su hora de envío, {}"),
    // Why mail is not taken.
    ("the disk is almost full", "el disco está casi lleno"),
    ("too many messages are arriving at once", "están llegando demasiados mensajes a la vez"),
    ("the spool does not work", "el almacén de mensajes no funciona"),
    ("the relay is stopping", "el servicio se está deteniendo"),
    // What a standby lacks, and how to mend it.
    (
        "add {} to an interface (`ip address add`), or mend `address` of `{}`",
        "agregue {} a una interfaz (`ip address add`), o corrija `address` de `{}`",
    ),
    ("start or mend {}, or mend `via` of `{}`", "inicie o repare {}, o corrija `via` de `{}`"),
    ("none", "ninguno"),
    ("{} of them: {}", "{}: {}"),
    ("this machine does not have {}", "este servidor no tiene {}"),
    (
        "the gateway {} does not answer, or does not take this relay",
        "la pasarela {} no responde o no acepta a este servicio",
    ),
    (
        "publish `{}`; who gave you the address publishes it, or lets you",
        "publique `{}`; lo publica quien le dio la dirección, o se lo permite",
    ),
    (
        "keep `{}` and remove the others; who gave you the address publishes it, or lets you",
        "conserve `{}` y quite los otros; lo publica quien le dio la dirección, o se lo permite",
    ),
    ("publish `{}. {} {}`", "publique `{}. {} {}`"),
    ("{} has {}", "{} tiene {}"),
    ("{} does not exist", "{} no existe"),
    ("{} has no address", "{} no tiene dirección"),
    ("{} publishes no SPF", "{} no publica SPF"),
    ("it says {}: \"{}\"", "dice {}: \"{}\""),
    (
        "publish `{}. TXT \"v=spf1 {}{}\"` in its place",
        "publique `{}. TXT \"v=spf1 {}{}\"` en su lugar",
    ),
    (
        "publish `{}. TXT \"v=spf1 {} -all\"`, with every address that sends for it",
        "publique `{}. TXT \"v=spf1 {} -all\"`, con todas las direcciones que envían por él",
    ),
    (
        "mend the SPF record of {}; terms such as `{}` cost no look-up",
        "corrija el registro SPF de {}; términos como `{}` no cuestan consultas",
    ),
    ("ask to be taken out: {}", "pida que la retiren: {}"),
    ("ask the list to take it out", "pida a la lista que la retire"),
    ("{} lists it since {}, which is to be confirmed", "{} la lista desde {}, por confirmar"),
    ("{} has not answered yet", "{} todavía no responde"),
    // What could not be done.
    ("there is no source {}", "no hay ninguna dirección {}"),
    (
        "there is no source {}; `tambo sources list` names them",
        "no hay ninguna dirección {}; `tambo sources list` las nombra",
    ),
    (
        "{} is active in no pool, and none lacks a source since it left",
        "{} no está activa en ningún grupo, y a ninguno le falta una desde que salió",
    ),
    ("{} is {}: `tambo sources resume {}` first", "{} está en estado {}: primero reactive {}"),
    ("{} waits as standby for no pool of {}", "{} no es reserva de ningún grupo de {}"),
    (
        "the pools have changed since they were looked at: ask again",
        "los grupos cambiaron desde que los vio: vuelva a preguntar",
    ),
    ("only a suspension has an end", "solo una suspensión tiene fin"),
    (
        "a source is drained everywhere; suspend it at the site",
        "una dirección se vacía en todas partes; en un solo destino, suspéndala",
    ),
    ("there is no pool \"{}\"", "no hay ningún grupo \"{}\""),
    ("there is no account \"{}\"", "no hay ninguna cuenta \"{}\""),
    ("there is no standing hold {}", "no hay ninguna retención {}"),
    (
        "the hold would end before it begins: `until` is over",
        "la retención terminaría antes de empezar",
    ),
    (
        "no message {} is known: events are kept for the time of `events.keep`, and `GET /api/v1/trace` finds messages by address and tag",
        "no se conoce ningún mensaje {}: los eventos se guardan el tiempo de `events.keep`; búsquelo en Mensajes por dirección o etiqueta",
    ),
    ("\"{}\": {}", "\"{}\": {}"),
    ("{}{} is not on the suppression list", "{}{} no está en la lista de supresión"),
    (
        "{} is not on the suppression list of the account {}",
        "{} no está en la lista de supresión de la cuenta {}",
    ),
    (
        "addresses holds {}: write 1 to {} at a time",
        "hay {} direcciones: escriba de 1 a {} por vez",
    ),
    (
        "`why` is one line of at most {} characters",
        "el motivo es una línea de {} caracteres como máximo",
    ),
    (
        "{} of them cannot be, so none was taken: {}{}",
        "{} de ellas no sirven, así que no se tomó ninguna: {}{}",
    ),
    (
        "there is no zone \"{}\": write one as America/Lima",
        "no hay ninguna zona horaria \"{}\": escríbala como America/Lima",
    ),
    ("`to` is before `from`", "el final está antes del comienzo"),
    ("from {} to {} is not one to {} days", "de {} a {} no va de 1 a {} días"),
    (
        "month is written as 2026-11, or is `this` or `last`",
        "el mes se escribe como 2026-11, o es `this` o `last`",
    ),
    // Tokens and people.
    (
        "\"{}\" is no name of a token: write 1 to {} of a-z, A-Z, 0-9, \".\", \"_\" and \"-\"",
        "\"{}\" no sirve como nombre de llave: escriba de 1 a {} caracteres de a-z, A-Z, 0-9, \".\", \"_\" y \"-\"",
    ),
    (
        "there is a token of this name: revoke it first, or choose another name",
        "ya hay una llave con ese nombre: revóquela primero o elija otro",
    ),
    (
        "a token that sends needs the account that it sends as",
        "una llave para enviar necesita la cuenta con la que envía: elíjala",
    ),
    (
        "there are {} tokens already: revoke those that nobody uses",
        "ya hay {} llaves: revoque las que nadie usa",
    ),
    (
        "there is no token of this name; `tambo token list` names them",
        "no hay ninguna llave con ese nombre",
    ),
    (
        "\"{}\" is no name of a user: write 1 to {} of a-z, 0-9, \".\", \"_\", \"-\" and \"@\"",
        "\"{}\" no sirve como nombre de usuario: escriba de 1 a {} caracteres de a-z, 0-9, \".\", \"_\", \"-\" y \"@\"",
    ),
    (
        "there is a user of this name: remove it first, or choose another name",
        "ya hay un usuario con ese nombre: quítelo primero o elija otro",
    ),
    (
        "the password needs at least {} characters; three or four words are a good one",
        "la contraseña necesita al menos {} caracteres; tres o cuatro palabras hacen una buena",
    ),
    ("the password has more than {} octets", "la contraseña tiene más de {} octetos"),
    (
        "the password is, or holds little more than, the name of the user: choose another",
        "la contraseña es casi el nombre del usuario: elija otra",
    ),
    (
        "there are {} users already: remove those who are gone",
        "ya hay {} usuarios: quite a los que se fueron",
    ),
    (
        "there is no user of this name; `tambo user list` names them",
        "no hay ningún usuario con ese nombre",
    ),
    (
        "the code is not right: look at the clock of the telephone, and type the next one",
        "el código no es correcto: revise la hora del teléfono y escriba el siguiente",
    ),
    (
        "too many passwords wait to be checked: try again in a moment",
        "hay demasiadas contraseñas por comprobar: intente de nuevo en un momento",
    ),
];

/// Sentences within sentences at most: a verdict, what keeps it, until when.
const DEPTH_MAX: usize = 4;
/// Letters that make a sentence unlike any other. What is put into one that has fewer must be no words of anybody's.
const TELLING: usize = 12;

struct Sentence {
    pieces: Vec<&'static str>,
    letters: usize,
    spanish: &'static str,
}

/// Those that say most come first: of two that fit, the one that leaves less open is meant.
static BY_LENGTH: LazyLock<Vec<Sentence>> = LazyLock::new(|| {
    let sentence = |(english, spanish): &(&'static str, &'static str)| {
        let pieces: Vec<&str> = english.split("{}").collect();
        let letters = pieces.iter().flat_map(|it| it.chars()).filter(|it| it.is_alphabetic());
        Sentence { letters: letters.count(), pieces, spanish }
    };
    let mut sentences: Vec<Sentence> = SENTENCES.iter().map(sentence).collect();
    sentences.sort_by_key(|it| std::cmp::Reverse(it.letters));
    sentences
});

/// A sentence of the relay in Spanish; nothing: it has none. `shown` writes what is put in, where it is no sentence.
pub(super) fn spanish(text: &str, shown: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    within(text, shown, DEPTH_MAX)
}

fn within(text: &str, shown: &dyn Fn(&str) -> Option<String>, depth: usize) -> Option<String> {
    if depth == 0 {
        return None;
    }
    BY_LENGTH.iter().find_map(|sentence| {
        let values = values(&sentence.pieces, text)?;
        let told: Vec<Option<String>> =
            values.iter().map(|it| within(it, shown, depth - 1).or_else(|| shown(it))).collect();
        let names = |value: &str| value.split(", ").all(|it| !it.contains(char::is_whitespace));
        let vague = sentence.letters < TELLING;
        if vague && !values.iter().zip(&told).all(|(value, told)| told.is_some() || names(value)) {
            return None;
        }
        // Of marks alone, what is put in must be a sentence.
        if sentence.letters == 0 && told.iter().all(Option::is_none) {
            return None;
        }
        let mut said = String::with_capacity(text.len() + 16);
        let mut values = values.iter().zip(told);
        for (number, piece) in sentence.spanish.split("{}").enumerate() {
            if number > 0
                && let Some((value, told)) = values.next()
            {
                said.push_str(told.as_deref().unwrap_or(value));
            }
            said.push_str(piece);
        }
        Some(said)
    })
}

/// What stands between the pieces; nothing: the text is another.
fn values<'a>(pieces: &[&str], text: &'a str) -> Option<Vec<&'a str>> {
    let (first, others) = pieces.split_first()?;
    let Some((last, middle)) = others.split_last() else {
        return (text == *first).then(Vec::new);
    };
    let mut rest = text.strip_prefix(first)?.strip_suffix(last)?;
    let mut values = Vec::with_capacity(others.len());
    for piece in middle {
        let (value, after) = if piece.is_empty() { ("", rest) } else { rest.split_once(piece)? };
        values.push(value);
        rest = after;
    }
    values.push(rest);
    Some(values)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Texts between quotes in the sources, with `{}` for whatever is put in.
    fn literals(file: &Path, found: &mut BTreeSet<String>) {
        let text = std::fs::read_to_string(file).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            if letter == '/' && letters.peek() == Some(&'/') {
                for letter in letters.by_ref() {
                    if letter == '\n' {
                        break;
                    }
                }
            }
            if letter != '"' {
                continue;
            }
            let mut literal = String::new();
            while let Some(letter) = letters.next().filter(|it| *it != '"') {
                match letter {
                    '\\' if letters.peek() == Some(&'\n') => {
                        while letters.next_if(|it| it.is_whitespace()).is_some() {}
                    }
                    '\\' => literal.extend(letters.next()),
                    '{' => {
                        for letter in letters.by_ref() {
                            if letter == '}' {
                                break;
                            }
                        }
                        literal.push_str("{}");
                    }
                    letter => literal.push(letter),
                }
            }
            found.insert(literal);
        }
    }

    fn of(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("web") {
                of(&path, found);
            } else if path.extension().is_some_and(|it| it == "rs") {
                literals(&path, found);
            }
        }
    }

    fn sources() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
    }

    #[test]
    fn each_is_said_in_the_sources_word_for_word() {
        let mut found = BTreeSet::new();
        of(&sources(), &mut found);
        assert!(found.len() > 1_000, "{}", found.len());
        let unsaid: Vec<&str> = SENTENCES
            .iter()
            .map(|(english, _)| *english)
            .filter(|english| !found.contains(*english))
            // Made of two in the sources.
            .filter(|english| !english.contains("who gave you the address"))
            .filter(|english| *english != "It would bounce: {}")
            .collect();
        assert!(unsaid.is_empty(), "the sources do not say {unsaid:#?}");
        let english: BTreeSet<&str> = SENTENCES.iter().map(|(english, _)| *english).collect();
        assert_eq!(english.len(), SENTENCES.len(), "one is there twice");
        for (english, spanish) in SENTENCES {
            let count = |text: &str| text.matches("{}").count();
            assert_eq!(count(english), count(spanish), "{english} / {spanish}");
        }
    }

    /// Of the files whose sentences pages show, each has its Spanish.
    #[test]
    fn what_pages_show_has_its_spanish() {
        let mut found = BTreeSet::new();
        for file in ["egress/gate.rs", "egress/swap_by_hand.rs", "control/explain.rs"] {
            literals(&sources().join(file), &mut found);
        }
        let english: BTreeSet<&str> = SENTENCES.iter().map(|(english, _)| *english).collect();
        let left: Vec<&String> = found
            .iter()
            .filter(|it| it.split_whitespace().count() > 2 && !english.contains(it.as_str()))
            .collect();
        assert!(left.is_empty(), "these have no Spanish: {left:#?}");
    }

    #[test]
    fn sentences_are_told_with_what_stands_in_them() {
        let shown = |text: &str| match text {
            "2026-12-01T15:00:00.000Z" => Some("01/12/2026 10:00:00".to_owned()),
            "suspended" => Some("suspendida".to_owned()),
            _ => None,
        };
        let check = |english: &str, expected: Option<&str>| {
            assert_eq!(spanish(english, &shown).as_deref(), expected, "{english}");
        };
        check("the disk is almost full", Some("el disco está casi lleno"));
        check(
            "It would wait: no source of the pool may go now (it is suspended)",
            Some(
                "Esperaría: ninguna dirección del grupo puede enviar ahora (está en estado suspendida)",
            ),
        );
        check(
            "It would wait: the server asked the source for less; until 2026-12-01T15:00:00.000Z",
            Some("Esperaría: el servidor pidió menos a esta dirección; hasta 01/12/2026 10:00:00"),
        );
        check(
            "It would go now, from ip-01 to mx.x.pe",
            Some("Saldría ahora, desde ip-01 hacia mx.x.pe"),
        );
        check("mx.x.pe has 192.0.2.1, 192.0.2.2", Some("mx.x.pe tiene 192.0.2.1, 192.0.2.2"));
        // What others say is not ours to tell in other words.
        check("the server has had enough of you", None);
        check("bad weather; worse to come", None);
        check("550 5.7.1 no", None);
        check("It would bounce: 550 no", Some("Rebotaría: 550 no"));
    }
}
