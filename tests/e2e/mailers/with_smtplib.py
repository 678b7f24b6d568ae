"""Sends a message as it is with Python's smtplib: PORT FOLDER FROM TO."""
import smtplib
import ssl
import sys

port, folder, sender, recipient = sys.argv[1:]
context = ssl.create_default_context(cafile=folder + "/certificate.pem")
with open(folder + "/message.eml", "rb") as file:
    message = file.read()
with smtplib.SMTP("127.0.0.1", int(port)) as server:
    server.starttls(context=context)
    server.login("script", "secreto")
    server.sendmail(sender, [recipient], message, mail_options=["BODY=8BITMIME"])
