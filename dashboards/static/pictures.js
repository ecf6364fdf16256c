// Pictures of errors, large: the original, or grey with red where the filter most to blame answers.
import PhotoSwipeLightbox from "./vendor/photoswipe-5.4.4/photoswipe-lightbox.esm.min.js";

const gallery = document.querySelector("[data-zoom]");
const said = gallery.dataset;
let heat = false; // whether the answer of the filter is laid over the pictures

// Pictures of a few hundred pixels are enlarged, up to four times, to what the screen has room for.
function fitting({ panAreaSize, elementSize }) {
  return Math.min(panAreaSize.x / elementSize.x, panAreaSize.y / elementSize.y, 4);
}

const lightbox = new PhotoSwipeLightbox({
  gallery,
  bgOpacity: 0.96,
  padding: { top: 60, bottom: 60, left: 0, right: 0 },
  initialZoomLevel: fitting,
  secondaryZoomLevel: (level) => 2.5 * fitting(level),
  maxZoomLevel: 10,
  children: "a[data-original]",
  pswpModule: () => import("./vendor/photoswipe-5.4.4/photoswipe.esm.min.js"),
  closeTitle: said.close,
  zoomTitle: said.zoom,
  arrowPrevTitle: said.previous,
  arrowNextTitle: said.next,
  errorMsg: said.missing,
});

// What cannot be read any more is shown as small as the night has kept it.
lightbox.addFilter("domItemData", (item, _element, link) => {
  const thumbnail = link.querySelector("img");
  const lost = link.dataset.lost !== undefined;
  item.src = heat && link.dataset.heat && !lost ? link.dataset.heat : lost ? thumbnail.src : link.dataset.original;
  item.msrc = thumbnail?.src;
  item.alt = thumbnail?.alt ?? "";
  item.w = Number(link.dataset.width ?? 0) || 960;
  item.h = Number(link.dataset.height ?? 0) || 960;
  return item;
});

// How large a picture is, it says itself; then it is laid out anew.
function layOut(slide, isError) {
  const { content } = slide;
  const link = slide.data.element;
  if (isError) {
    if (link.dataset.lost !== undefined) return;
    link.dataset.lost = "";
  } else {
    const { naturalWidth: width, naturalHeight: height } = content.element;
    if (Number(link.dataset.width) === width && Number(link.dataset.height) === height) return;
    [link.dataset.width, link.dataset.height] = [width, height];
  }
  lightbox.pswp.refreshSlideContent(slide.index);
}

// One that was loaded before it had its slide (ahead of its turn, or while this program loaded) tells nobody.
function layOutLoaded() {
  const { currSlide: slide, opener } = lightbox.pswp;
  const { state } = slide.content;
  if (opener.isOpen && (state === "loaded" || state === "error")) layOut(slide, state === "error");
}

lightbox.on("loadComplete", ({ slide, isError }) => layOut(slide, isError));
lightbox.on("openingAnimationEnd", layOutLoaded);
lightbox.on("change", layOutLoaded);

function turnHeat() {
  const { pswp } = lightbox;
  heat = !heat;
  for (const index of [pswp.currIndex, pswp.currIndex - 1, pswp.currIndex + 1]) {
    if (index >= 0 && index < pswp.getNumItems()) pswp.refreshSlideContent(index);
  }
}

lightbox.on("uiRegister", () => {
  const { pswp } = lightbox;
  const current = () => pswp.currSlide.data.element;
  pswp.ui.registerElement({
    name: "heat",
    className: "pswp__heat",
    order: 8,
    isButton: true,
    tagName: "button",
    title: said.heatTitle,
    html: said.heatTitle,
    onInit: (button) => {
      pswp.on("change", () => {
        button.hidden = !current().dataset.heat || current().dataset.lost !== undefined;
        button.setAttribute("aria-pressed", String(heat));
      });
    },
    onClick: turnHeat,
  });
  pswp.ui.registerElement({
    name: "caption",
    className: "pswp__caption",
    order: 9,
    isButton: false,
    appendTo: "root",
    onInit: (caption) => {
      caption.setAttribute("aria-live", "polite");
      pswp.on("change", () => {
        const link = current();
        const more = link.dataset.lost !== undefined ? said.missing : heat ? link.dataset.heatCaption ?? "" : "";
        caption.textContent = [link.dataset.caption, more].filter(Boolean).join(" · ");
      });
    },
  });
  pswp.on("keydown", ({ originalEvent: key }) => {
    if (key.key === "h" && !key.ctrlKey && !key.metaKey && !key.altKey && current().dataset.heat) turnHeat();
  });
});

lightbox.init();
