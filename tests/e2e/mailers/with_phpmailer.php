<?php
// Composes a message with PHPMailer and sends it: PORT FOLDER FROM TO.
require '/usr/share/php/libphp-phpmailer/autoload.php';
[, $port, $folder, $from, $to] = $argv;
$mail = new PHPMailer\PHPMailer\PHPMailer(true);
$mail->isSMTP();
$mail->Host = '127.0.0.1';
$mail->Port = (int) $port;
$mail->SMTPSecure = 'tls';
$mail->SMTPAuth = true;
$mail->Username = 'script';
$mail->Password = 'secreto';
$mail->SMTPOptions = ['ssl' => ['cafile' => "$folder/certificate.pem"]];
$mail->CharSet = 'UTF-8';
$mail->setFrom($from);
$mail->addAddress($to);
$mail->Subject = 'Entero';
$mail->Body = file_get_contents("$folder/text");
$mail->addAttachment("$folder/attachment.bin");
$mail->send();
