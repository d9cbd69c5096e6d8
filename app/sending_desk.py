"""Between the window and what goes to a PACS: asks where to, and shows how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt

from app.views.send_bar import SendBar

if TYPE_CHECKING:
    from app.main_window import MainWindow
    from app.results import Result
    from recon.export.pacs import Destination


class SendingDesk(QObject):
    """Opens the dialog of a window, and keeps the bar of its status bar up to date.

    Parameters
    ----------
    window
        The window.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._sending = window.session.sending
        self.bar = SendBar()
        # Behind the texts that come and go, in front of what stands at the end always.
        window.statusBar().insertPermanentWidget(len(window.status.labels), self.bar)
        self.bar.hide()
        self.bar.cancel_wanted.connect(self._sending.cancel)
        self._sending.changed.connect(self._show)
        self._sending.progressed.connect(self.bar.advance)
        self._show()

    def ask(self) -> None:
        """Ask where to send which result."""
        from app.dialogs.send import SendDialog

        session, sending = self._window.session, self._sending
        results = [result for result in session.results if result.reconstruction is not None]
        dialog = SendDialog(
            results,
            session.result,
            sending.destinations,
            sending.is_confirmed,
            session.settings.pacs_calling,
            self._window,
        )
        dialog.verify_wanted.connect(sending.verify)
        sending.verified.connect(dialog.show_answer)
        dialog.send_wanted.connect(self._send)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def _send(self, destination: Destination, calling: str, result: Result) -> None:
        # The dialog hands a destination on only when its host is confirmed, there or once before.
        self._window.session.send(destination, calling=calling, result=result, is_confirmed=True)

    def _show(self) -> None:
        destination = self._sending.destination
        if destination is None:
            self.bar.end()
        else:
            self.bar.begin(str(destination))
        self._window.commands.refresh()
