"""Where mail goes: a mail server, or a folder of files."""

from configs.settings import Settings
from domain.mail import SmtpServer
from domain.ports import Mailer
from storage.mail.folder import FolderMailer
from storage.mail.smtp import SmtpMailer


def open_mailer(settings: Settings) -> Mailer:
    """The mail server of the settings, or the folder."""
    if settings.smtp_url is None:
        return FolderMailer(settings.mail_dir, settings.mail_from)
    return SmtpMailer(SmtpServer.parse(settings.smtp_url.get_secret_value()), settings.mail_from)
