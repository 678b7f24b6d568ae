//! What reports say, in each language.

use super::{CAUSES, NumbersBy, ReportLanguage};

/// Texts of a report.
pub(super) struct Words {
    pub title: &'static str,
    pub to: &'static str,
    pub made: &'static str,
    pub summary: &'static str,
    pub nothing: &'static str,
    pub what: &'static str,
    pub value: &'static str,
    pub by: &'static str,
    pub name: &'static str,
    pub day: &'static str,
    pub hour: &'static str,
    pub by_day: &'static str,
    pub by_hour: &'static str,
    pub accepted: &'static str,
    pub delivered: &'static str,
    pub deferred: &'static str,
    pub bounced: &'static str,
    pub expired: &'static str,
    pub suppressed: &'static str,
    pub complaints: &'static str,
    pub octets: &'static str,
    pub share: &'static str,
    /// The same, short: a heading of a narrow table.
    pub share_short: &'static str,
    pub median: &'static str,
    pub p95: &'static str,
    pub other: &'static str,
    pub none: &'static str,
    pub notes: [&'static str; 2],
}

const SPANISH: Words = Words {
    title: "Informe de correo de",
    to: "a",
    made: "Elaborado",
    summary: "Resumen",
    nothing: "En ese tiempo no hubo correo.",
    what: "Concepto",
    value: "Valor",
    by: "Según",
    name: "Nombre",
    day: "Día",
    hour: "Hora",
    by_day: "Por día",
    by_hour: "Por hora",
    accepted: "Aceptados",
    delivered: "Entregados",
    deferred: "Aplazados",
    bounced: "Rebotados",
    expired: "Vencidos",
    suppressed: "Suprimidos",
    complaints: "Quejas",
    octets: "Octetos entregados",
    share: "Entregado de lo concluido",
    share_short: "Entreg.",
    median: "Mediana hasta la entrega (s)",
    p95: "95 de 100 entregados en (s)",
    other: "otros",
    none: "(ninguno)",
    notes: [
        "Se cuentan destinatarios; los aplazados, en cada intento.",
        "Lo aceptado un día puede entregarse otro.",
    ],
};

const ENGLISH: Words = Words {
    title: "Mail report of",
    to: "to",
    made: "Made",
    summary: "Summary",
    nothing: "There was no mail in that time.",
    what: "What",
    value: "Value",
    by: "By",
    name: "Name",
    day: "Day",
    hour: "Hour",
    by_day: "By day",
    by_hour: "By hour",
    accepted: "Accepted",
    delivered: "Delivered",
    deferred: "Deferred",
    bounced: "Bounced",
    expired: "Expired",
    suppressed: "Suppressed",
    complaints: "Complaints",
    octets: "Octets delivered",
    share: "Delivered of what has ended",
    share_short: "Deliv.",
    median: "Median until delivery (s)",
    p95: "95 of 100 delivered within (s)",
    other: "others",
    none: "(none)",
    notes: [
        "Recipients are counted; deferrals at each attempt.",
        "What is accepted on one day may be delivered on another.",
    ],
};

/// The texts of a language.
pub(super) fn words(language: ReportLanguage) -> &'static Words {
    match language {
        ReportLanguage::Es => &SPANISH,
        ReportLanguage::En => &ENGLISH,
    }
}

impl Words {
    /// The heading of a part.
    pub(super) fn part(&self, by: NumbersBy) -> &'static str {
        let is_spanish = self.name == SPANISH.name;
        let (spanish, english) = match by {
            NumbersBy::None => (SPANISH.summary, ENGLISH.summary),
            NumbersBy::Provider => ("Por proveedor", "By provider"),
            NumbersBy::Source => ("Por dirección de envío", "By source"),
            NumbersBy::Pool => ("Por grupo de direcciones", "By pool"),
            NumbersBy::Account => ("Por cuenta", "By account"),
            NumbersBy::Category => {
                ("Rebotes y aplazos por motivo", "Bounces and deferrals by cause")
            }
            NumbersBy::Tag => ("Por etiqueta", "By tag"),
            NumbersBy::Domain => ("Rebotes por dominio", "Bounces by domain"),
        };
        if is_spanish { spanish } else { english }
    }

    /// A name of a part as people read it.
    pub(super) fn named<'a>(&self, by: NumbersBy, name: &'a str) -> &'a str
    where
        Self: 'static,
    {
        match name {
            "other" => self.other,
            "none" => self.none,
            name if by == NumbersBy::Category => self.cause(name).unwrap_or(name),
            name => name,
        }
    }

    /// What replies of a category are about; nothing for one of the operator's own.
    fn cause(&self, category: &str) -> Option<&'static str> {
        let is_it = |key: &str| key.strip_prefix("category.") == Some(category);
        let (_, spanish, english) = CAUSES.iter().find(|(key, ..)| is_it(key))?;
        Some(if self.name == SPANISH.name { spanish } else { english })
    }
}
