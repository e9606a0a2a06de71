// Shows the OpenAPI document of this gateway with Swagger UI; nothing is sent elsewhere.
const place = document.getElementById("reference");
window.SwaggerUIBundle({
  url: place.dataset.document,
  domNode: place,
  deepLinking: true,
  validatorUrl: null,
});
