//! What replies are about, in the words of people: reports and the web say the same.

/// Key (`category.` and the category), Spanish, English.
pub const CAUSES: &[(&str, &str, &str)] = &[
    (
        "category.bad-domain",
        "el dominio del destinatario no existe o no recibe correo",
        "the recipient's domain does not exist or takes no mail",
    ),
    ("category.bad-mailbox", "el buzón no existe", "there is no such mailbox"),
    (
        "category.bad-sender",
        "se rechaza la dirección del remitente",
        "the sender's address is refused",
    ),
    ("category.connection", "la red o la conexión", "the network or the connection"),
    ("category.content", "la forma del contenido", "the form of the content"),
    ("category.content-attachment", "un archivo adjunto", "an attachment"),
    ("category.content-malware", "programa dañino o suplantación", "malware or phishing"),
    ("category.content-spam", "se considera correo no deseado", "held for spam"),
    (
        "category.dns",
        "no se pueden resolver los nombres del destino",
        "names of the receiver that cannot be looked up",
    ),
    (
        "category.domain-listed",
        "una lista de dominios nombra al dominio remitente o a un enlace",
        "a list of domains names the sending domain or a link",
    ),
    (
        "category.domain-reputation",
        "la reputación del dominio remitente o de un enlace",
        "the reputation of the sending domain or of a link",
    ),
    ("category.expired", "pasó demasiado tiempo", "it took too long"),
    (
        "category.false-listing",
        "el destino consulta mal una lista de bloqueo",
        "a blocklist that is asked wrongly",
    ),
    (
        "category.greylist",
        "lista gris: a los desconocidos se les pide volver más tarde",
        "greylisting: strangers are told to come back",
    ),
    ("category.inactive-mailbox", "el buzón está desactivado", "the mailbox is disabled"),
    ("category.ip-block", "la dirección IP está bloqueada", "the address is blocked"),
    ("category.ip-reputation", "la reputación de la dirección IP", "the reputation of the address"),
    (
        "category.list-quality",
        "demasiadas direcciones que no existen",
        "too many addresses that do not exist",
    ),
    ("category.loop", "el correo da vueltas", "mail goes round in circles"),
    ("category.mailbox", "otro problema del buzón", "something else about the mailbox"),
    ("category.mailbox-full", "el buzón está lleno", "the mailbox is full"),
    (
        "category.mailbox-rate-limit",
        "el buzón recibe más de lo que admite",
        "the mailbox gets more than it may",
    ),
    (
        "category.policy",
        "una regla del destino que no se nombra",
        "a rule of the receiver that is not named",
    ),
    ("category.policy-auth", "SPF, DKIM o DMARC", "SPF, DKIM or DMARC"),
    (
        "category.protocol",
        "la forma de la transacción o de los encabezados",
        "the shape of the transaction or of the headers",
    ),
    (
        "category.rate-limit",
        "más mensajes o conexiones de los que el destino quiere",
        "more messages or connections than the receiver wants",
    ),
    (
        "category.recipient-policy",
        "una regla del destinatario o de su organización",
        "a rule of the recipient or of its organisation",
    ),
    ("category.refused", "rechazado sin decir por qué", "refused, without saying why"),
    (
        "category.relay-denied",
        "el servidor no atiende el dominio del destinatario",
        "the server does not serve the recipient's domain",
    ),
    ("category.reverse-dns", "el registro PTR de la dirección IP", "the PTR record of the address"),
    ("category.sender-banned", "el remitente está vetado", "the sender is banned"),
    (
        "category.sender-dns",
        "no se puede resolver el dominio del remitente",
        "the domain of the sender cannot be looked up",
    ),
    (
        "category.sender-verification",
        "el destino comprobó si el remitente existe",
        "the receiver asked back whether the sender exists",
    ),
    ("category.system", "el estado del propio destino", "the receiver's own state"),
    ("category.temporary", "ahora no, sin decir por qué", "not now, without saying why"),
    ("category.tls", "el cifrado de la conexión", "encryption of the connection"),
    ("category.too-big", "el mensaje es demasiado grande", "the message is too big"),
];
