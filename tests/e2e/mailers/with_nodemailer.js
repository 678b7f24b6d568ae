// Composes a message with nodemailer and sends it: PORT FOLDER FROM TO.
const fs = require("fs");
const [port, folder, from, to] = process.argv.slice(2);
const transport = require("nodemailer").createTransport({
  host: "127.0.0.1",
  port: Number(port),
  secure: false,
  requireTLS: true,
  auth: { user: "script", pass: "secreto" },
  tls: { ca: fs.readFileSync(folder + "/certificate.pem") },
});
const message = {
  from,
  to,
  subject: "Entero",
  text: fs.readFileSync(folder + "/text", "utf8"),
  attachments: [{ path: folder + "/attachment.bin" }],
};
transport.sendMail(message).catch((error) => {
  console.error(error);
  process.exit(1);
});
