/** Colours, type and defaults of the page. */
import { Drawer, Modal, createTheme } from "@mantine/core";

export const theme = createTheme({
  colors: {
    pine: [
      "#eef6f4", "#dcebe7", "#b7d6ce", "#8fc0b4", "#6dad9f",
      "#52a091", "#3f8d7f", "#27766a", "#12695e", "#005a50",
    ],
  },
  primaryColor: "pine",
  primaryShade: { light: 8, dark: 6 },
  defaultRadius: "md",
  fontFamily: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif",
  headings: { fontWeight: "600" },
  cursorType: "pointer",
  focusRing: "auto",
  autoContrast: true,
  components: {
    Drawer: Drawer.extend({ defaultProps: { overlayProps: { backgroundOpacity: 0.3 } } }),
    Modal: Modal.extend({ defaultProps: { overlayProps: { backgroundOpacity: 0.3 } } }),
  },
});
